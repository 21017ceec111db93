# SPDX-License-Identifier: Apache-2.0
"""Why a layer does not run on NE16, by the drawn cases of all operators with a kernel there."""

from __future__ import annotations

import pytest

from myoedge.operators.base import OPS
from myoedge.plan.engine_rules import broken_rule
from myoedge.plan.schedule import make_plan
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
