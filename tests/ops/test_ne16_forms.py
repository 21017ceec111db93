# SPDX-License-Identifier: Apache-2.0
"""Every form of NE16's jobs that the table of forms has equals NumPy bit for bit, on a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from myoedge.codegen.job_tables import JobTables
from myoedge.operators.cases import Draw, DrawnUse, weight_slack
from myoedge.operators.conv import CONV_IN_TORCH
from myoedge.operators.conv.ne16 import jobs_in_tiles
from myoedge.operators.conv.ne16_forms import FORMS, JOINED, every_schedule
from myoedge.operators.conv.ne16_schedule import DEPTHWISE, FILTER, PIXELS, WINDOWS, JobSchedule
from myoedge.operators.interpreter import integer_step
from myoedge.operators.library.ne16_rules import requantised_by_engine
from myoedge.operators.library.rows import is_int8
from myoedge.plan.l1.layer_kernels import NetworkKernels
from myoedge.plan.l1.tile_choice import layer_signature
from myoedge.plan.l1.tiling import Tiling
from myoedge.targets import find_chip
from tests.ops.case import Case
from tests.ops.harness import drawn, mismatches, run_c
from tests.ops.test_tiles import FewBits, in_room
from tests.support.run import AT_LENGTH

DRAWN, FILTERS = 150, 150  # convolutions
OF_A_KIND = 3 if AT_LENGTH else 1  # tests of each kind of schedule
GAP9 = find_chip("gap9")
NE16 = next(engine for engine in GAP9.engines if engine.name == "ne16")


def draw_filter(d: Draw) -> DrawnUse:
    """A convolution with 3x3 filters, of all channels, of groups or of each, or with kernels of one
    row or column; dilated or not."""
    c, dilation, spatial = d.pick([3, 8, 17]), d.pick([(1, 1), (1, 1), (2, 1), (3, 2)]), (9, 8)
    kernel = d.pick([(3, 3), (3, 3), (4, 1), (1, 5)])
    attrs = {"stride": (1, 1), "dilation": dilation, "pads": ((1, 1), (2, 1)), "groups": 1}
    weights = d.weights((d.pick([c, 5, 33]), *kernel, c))
    if kernel == (3, 3) and d.flag():
        attrs["groups"], weights = c, d.weights((c, *kernel, 1))
    common = d.common(1, act=True) | {"slack": weight_slack, "per_tensor": d.flag()}
    return DrawnUse("conv", attrs, ((1, *spatial, c),), CONV_IN_TORCH, weights=weights, **common)


def convolutions() -> Iterator[Case]:
    """Drawn convolutions with int8 weights whose results NE16 requantises: of 8 bits, and fewer."""
    draw = Draw(np.random.default_rng(0))
    filters = (Case(**vars(draw_filter(draw))) for _ in range(FILTERS))
    every = [*drawn("conv", DRAWN, 9), *filters]
    few = [FewBits(**{field.name: getattr(case, field.name) for field in fields(case)})
           for case in every]  # fmt: skip
    for case in (*every, *few):
        if is_int8(case.step) and requantised_by_engine(case.step) is None:
            yield case


def tiled(case: Case, way: JobSchedule, number: int) -> Tiling:
    """A schedule of a layer's jobs, in tiles that fit a room."""
    kernel = replace(jobs_in_tiles(case.step, way, NE16), engine=NE16.name)
    alone = NetworkKernels([[(kernel, layer_signature(kernel))]], True, GAP9.transfers)
    return in_room(kernel, alone, number)


def has_copies(tiling: Tiling) -> bool:
    """Whether operands are prepared by lists of copies."""
    assert tiling.kernel.jobs is not None
    rows = [tiling.kernel.tile(tile.regions) for tile in tiling.tiles]
    return bool(JobTables.of(tiling.kernel.jobs, rows).prepare)


FLAGS = ("turned", "is_spread", "keeps_scratch", "copies_padding", "in_rows")


def kind_of(case: Case, way: JobSchedule) -> tuple[object, ...]:
    """What selects the code that a schedule runs."""
    phases = way.phases and way.phases.count > 1
    flags = (getattr(way, flag) for flag in FLAGS)
    has_table = case.step.table is not None
    return (
        way.number,
        phases,
        way.joined,
        way.bits,
        way.conv.groups > 1,
        way.groups > 1,
        has_table,
        *flags,
    )


def test_every_form_of_jobs_equals_numpy(tmp_path: Path) -> None:
    """Whether the form is the fastest or not: with each number of groups one after another, and
    with scratch that stays between tiles or does not."""
    known = Counter[tuple[object, ...]]()
    ways = []
    for case in convolutions():
        for keeps_scratch in (True, False):
            for way in every_schedule(case.step, keeps_scratch=keeps_scratch):
                known[kind_of(case, way)] += 1
                if known[kind_of(case, way)] <= OF_A_KIND:
                    ways.append((case, way))
    kinds = {(way.number, way.phases is not None) for _, way in ways}
    dense = {(number, name == "phases") for name, (number, _) in FORMS.items()}
    assert kinds >= {*dense, (DEPTHWISE, True)}
    assert {way.joined for _, way in ways} == {1, *JOINED}
    assert {way.number for _, way in ways if way.groups > 1} == {FILTER, PIXELS}
    assert {way.number for _, way in ways if way.conv.groups > 1} >= {PIXELS, WINDOWS}
    for flag in FLAGS:
        assert {getattr(way, flag) for _, way in ways} == {False, True}
    assert {case.step.table is None for case, way in ways if way.turned} == {False, True}
    assert {way.bits for _, way in ways} >= {2, 8}
    cases = [case for case, _ in ways]
    tilings = [tiled(case, way, number) for number, (case, way) in enumerate(ways)]
    assert any(len(tiling.tiles) > 1 for tiling in tilings)
    assert {has_copies(tiling) for tiling in tilings} == {False, True}
    wanted = [integer_step(case.step, case.data) for case in cases]
    assert not mismatches(cases, wanted, run_c(cases, tmp_path, "-O0", tilings))
