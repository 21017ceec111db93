# SPDX-License-Identifier: Apache-2.0
"""Constants of which every other part stays in L2, of all operators with constants of several
parts: C on the host equals NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.backends import host
from myoedge.building.plugin_check import joined
from myoedge.codegen.project import make_sources
from myoedge.errors import MyoedgeError
from myoedge.operators.interpreter import integer_step
from myoedge.plan.levels import constant_chunks, weight_streaming
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.ops.case import Case
from tests.ops.harness import drawn
from tests.ops.test_ops import COMPILED

GAP9 = find_chip("gap9")
SMALL = replace(GAP9, l1_bytes=GAP9.l1_reserved_bytes + 600)  # layers have several tiles
COUNT, SLOW_COUNT = 6, 40
TOGETHER = 24  # layers of one program
LEAST = 10  # operators of which drawn uses have parts


def in_parts(plan: Plan, parity: int) -> Plan | None:
    """The plan that streams every other part; None if no constant has both kinds."""
    known = constant_chunks.chunks_of_constants(plan)
    streamed = frozenset([*known][parity::2])
    if not {part[:2] for part in known if part not in streamed} & {x[:2] for x in streamed}:
        return None
    digest = weight_streaming.make_digest_cache(plan)
    made = weight_streaming.WeightStreaming(plan, known, digest).fitting(streamed)
    assert made is not None
    return made


def has_parts(case: Case) -> bool | None:
    """Whether a layer has constants of several parts; None if no tile of it fits in L1."""
    try:
        return in_parts(make_plan(joined([case]), SMALL), 0) is not None
    except MyoedgeError as error:
        if error.code != "E304":
            raise
        return None


def outputs(plan: Plan, inputs: Sequence[Any], folder: Path) -> list[Any]:
    for name, text in make_sources(plan, "parts").files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    specs = [(plan.quant.graph.shape(n), plan.quant.dtype(n)) for n in plan.quant.graph.outputs]
    return host.run(host.load_library(folder), inputs, specs, l3=plan.image("l3"))


@pytest.mark.parametrize("count", [COUNT, pytest.param(SLOW_COUNT, marks=pytest.mark.slow)])
def test_parts_of_constants_equal_numpy(count: int, tmp_path: Path) -> None:
    """In both widths. Layers on NE16 have parts in the recorded networks with little L2."""
    found = [(case, has_parts(case)) for op in COMPILED for case in drawn(op, count)]
    assert sum(has is None for _, has in found) < 0.05 * len(found)
    cases = [case for case, has in found if has]
    assert len({case.op for case in cases}) >= LEAST
    for start in range(0, len(cases), TOGETHER):
        some = cases[start : start + TOGETHER]
        network = joined(some)
        given = [x for case in some for x in case.data]
        wanted = [integer_step(case.step, case.data) for case in some]
        for parity in (0, 1):
            plan = in_parts(make_plan(network, SMALL), parity)
            assert plan is not None
            got = outputs(plan, given, tmp_path / f"{start} {parity}")
            for case, y, want in zip(some, got, wanted, strict=True):
                np.testing.assert_array_equal(y, want, case.op)
