# SPDX-License-Identifier: Apache-2.0
"""Every form of NE16's jobs of sums, with each width of operands, weights and results, equals NumPy
bit for bit, on a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from pathlib import Path

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16_forms import every_sums_schedule
from myoedge.operators.conv.ne16_rules import in_one_group, not_depthwise
from myoedge.operators.conv.ne16_schedule import JobSchedule
from myoedge.operators.interpreter import integer_step
from myoedge.operators.library.ne16_rules import has_int8_products, has_weights_in_halves
from myoedge.operators.library.rows import is_int8
from tests.ops.case import Case
from tests.ops.harness import drawn, mismatches, run_c
from tests.ops.test_ne16_forms import draw_filter, tiled

DRAWN, FILTERS, OF_A_KIND = 400, 40, 1  # convolutions; tests of each kind of schedule


class WideWeights(Case):
    """A drawn use of int8 with weights of 16 bits, in steps of 1/257."""

    @property
    def step(self) -> QuantizedNode:
        step = super().step
        weight = step.integers.weight.astype(np.int16) * np.int16(257)
        wide = replace(step.integers, weight=weight, pre=step.integers.pre + 8)
        return replace(step, integers=wide)


def convolutions() -> Iterator[Case]:
    """Drawn convolutions whose sums NE16 may make."""
    draw = Draw(np.random.default_rng(0))
    filters = (Case(**vars(draw_filter(draw))) for _ in range(FILTERS))
    every = [*drawn("conv", DRAWN, 11), *filters]
    own = [{field.name: getattr(case, field.name) for field in fields(case)} for case in every]
    bytes_alone = [i for i, case in enumerate(every) if is_int8(case.step)]
    for case in (*every, *(WideWeights(**own[i]) for i in bytes_alone)):
        rules = (in_one_group, has_int8_products)
        if not is_int8(case.step):
            rules = (not_depthwise, has_weights_in_halves)
        if all(rule(case.step) is None for rule in rules):
            yield case


def kind_of(case: Case, way: JobSchedule) -> tuple[object, ...]:
    """What selects the code that a schedule runs."""
    assert way.parts
    widths = (*way.sizes, way.parts.halves)
    forms = (way.parts.is_filter, way.parts.runs > 1, way.conv.y[1] > 1, way.conv.groups > 1)
    return *widths, *forms, case.step.table is not None, way.keeps_scratch


def test_every_form_of_sums_equals_numpy(tmp_path: Path) -> None:
    """Whether it is the fastest or not, in one tile or several."""
    known, ways = Counter[tuple[object, ...]](), []
    for case, keeps in product(convolutions(), (True, False)):
        for way in every_sums_schedule(case.step, Conv2dGeometry.of, keeps_scratch=keeps):
            known[kind_of(case, way)] += 1
            if known[kind_of(case, way)] <= OF_A_KIND:
                ways.append((case, way))
    assert {kind[:3] for kind in known} == {*product((1, 2), repeat=3)}
    for number in range(3, len(next(iter(known)))):
        assert {kind[number] for kind in known} == {False, True}
    cases = [case for case, _ in ways]
    tilings = [tiled(case, way, number) for number, (case, way) in enumerate(ways)]
    assert {len(tiling.tiles) > 1 for tiling in tilings} == {False, True}
    wanted = [integer_step(case.step, case.data) for case in cases]
    assert not mismatches(cases, wanted, run_c(cases, tmp_path, "-O0", tilings))
