# SPDX-License-Identifier: Apache-2.0
"""Why a layer does not run on NE16, by the drawn cases of all operators with a kernel there."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from myoedge.errors import MyoedgeError
from myoedge.operators.base import OPS
from myoedge.plan.engine_rules import broken_rule, other_engine
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.gap9.chip import GAP9
from tests.ops.harness import USES, drawn

NE16 = "ne16"
ACCELERATED = [op for op in USES if any(x.engine == NE16 for x in OPS[op].kernels)]


@pytest.mark.parametrize("op", ACCELERATED)
def test_the_rule_that_a_layer_breaks_is_one_of_its_kernels(op: str) -> None:
    """Room in L2 is no reason for a layer that no kernel accepts."""
    kernels = [x for x in OPS[op].kernels if x.engine == NE16]
    for case in drawn(op, 12):
        plan = make_plan(case.quant, GAP9)
        (index,) = (i for i, step in enumerate(plan.steps) if step.node.op == op)
        step, rule = plan.steps[index], broken_rule(plan, index, NE16)
        if any(kernel.runs(step) for kernel in kernels):
            continue
        assert rule is not None
        stated = [kernel.broken_rule(step) for kernel in kernels]
        has_types = rule.needs == f"element types of a kernel on {NE16}"
        assert has_types == (not any(stated)), (rule, stated)
        assert has_types or rule in stated


def planned(network: QuantGraph, l1_bytes: int, l2_bytes: int) -> Plan | None:
    """The plan in memories without room for code; None if the network does not fit."""
    sizes = {"l1_bytes": l1_bytes, "l2_bytes": l2_bytes, "l2_reserved_bytes": 0}
    try:
        return make_plan(network, replace(GAP9, **sizes, layer_code_bytes=0))
    except MyoedgeError:
        return None


@pytest.mark.parametrize("op", ["conv", "linear"])
def test_the_memory_without_room_for_tiles_is_the_one_that_lacks_it(op: str) -> None:
    """A larger L2 alone gives room to a layer that lacks it there, and to no layer that lacks L1;
    a tile that L1 lacks room for is larger than this room."""
    told = 0
    for case in drawn(op, 12):
        for l1_bytes in (1 << 17, 1 << 14, 13 << 10):
            free = planned(case.quant, l1_bytes, GAP9.l2_bytes)
            tight = (planned(case.quant, l1_bytes, size) for size in (2048, 1536, 1024, 768, 512))
            for plan in tight:
                if free is None or plan is None:
                    continue
                for index in range(len(plan.steps)):
                    reason = str(other_engine(plan, index))
                    lacks_l1 = re.search(r"of ([\d,]+) B at least, not ([\d,]+) B", reason)
                    if lacks_l1:
                        needs, has = (int(x.replace(",", "")) for x in lacks_l1.groups())
                        assert needs > has == plan.l1_room_bytes
                        assert other_engine(free, index) == reason
                    assert reason != "cores: no tile in L1"
                    if "room in L2 for its tiles" in reason:
                        assert "tile" not in str(other_engine(free, index))
                        told += 1
    assert told
