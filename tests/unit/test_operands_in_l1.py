# SPDX-License-Identifier: Apache-2.0
"""Operands that no layer waits for: parts of a tensor that stays in L1 are read where they are,
operands that are complete are loaded while the layer before computes.

Oracle of the results: the integer reference, which has no plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from myoedge.backends.measurement import FirmwareFiles
from myoedge.backends.simulator import run_firmware
from myoedge.codegen.firmware import make_firmware
from myoedge.codegen.project import make_sources
from myoedge.errors import MyoedgeError
from myoedge.operators.checks import enforce
from myoedge.operators.interpreter import run_int
from myoedge.plan.check import PLANNED
from myoedge.plan.l1.tile_iteration import transfers
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.e2e.test_less_l2 import quantized
from tests.support.networks.small import Function

SHAPE = (1, 6, 10, 14)
PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "shifted along the last axis": lambda h: h[..., 1:] * 0.7 - h[..., :-1],
    "shifted along a middle axis": lambda h: h[:, :, 3:] - h[:, :, :-3] * 0.4,
    "inner parts": lambda h: h[:, 1:5, 2:7, 3:12] - h[:, :4, 5:, 5:],
    "beside sums": lambda h: h[:, 1:3, :, 4:9].mean(2) - h[:, 1:3, 2, 9:],
    "transposed": lambda h: h[:, :, 2:8, 1:7] - h[:, :, 3:9, 2:8].transpose(2, 3),
}


def planned(function: Callable[[Tensor], Tensor]) -> Plan:
    x = torch.zeros(SHAPE)
    calib = np.random.default_rng(0).standard_normal((4, *SHAPE), np.float32)
    network = quantized(torch.export.export(Function(function).eval(), (x,)), calib)
    return make_plan(network, find_chip("gap9"))


def assert_exact_on_chip(plan: Plan) -> None:
    graph = plan.quant.graph
    (name,), (out,) = graph.inputs, graph.outputs
    sample = np.random.default_rng(1).integers(-128, 128, SHAPE, np.int8)
    wanted = run_int(plan.quant.steps, plan.quant.constants, {name: sample})[out]
    files = FirmwareFiles([[sample]], [(wanted.shape, wanted.dtype)], len(plan.steps))
    program = make_firmware(make_sources(plan, "parts")).program
    measured, _ = run_firmware(program, files)
    np.testing.assert_array_equal(measured.inferences[0].outputs[0], wanted)


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_tensor_in_l1_are_read_where_they_are(part: str) -> None:
    plan = planned(lambda x: PARTS[part](torch.softmax(x, 1)))
    last = plan.tilings[-1]
    (tile,) = last.tiles
    there = [x for x in last.kernel.operands if x.name in last.resident]
    moved = [x for o in there for x in transfers(o, tile.regions[o.name], 0)]
    assert max(x.bytes // x.line for x in moved) > 1
    assert_exact_on_chip(plan)


def later_readers(x: Tensor) -> Tensor:
    """Layers that read the input, and what the layer before them writes."""
    return torch.softmax(torch.softmax(x * 2, 1) + 0.1 * torch.cumsum(x, 2), 2) * x.flip(3)


def test_what_is_complete_is_loaded_during_the_layer_before() -> None:
    plan = planned(later_readers)
    ahead = [
        plan.steps[at].tensors[tiling.kernel.operand(name).source]
        for at, tiling in enumerate(plan.tilings)
        for name in tiling.ahead
    ]
    assert {*ahead} == {"x"}
    assert_exact_on_chip(plan)
    *before, last = plan.tilings
    read = frozenset(x.name for x in last.kernel.operands if not (x.constant or x.written))
    assert last.ahead < read
    broken = replace(plan, tilings=(*before, replace(last, ahead=read)))
    with pytest.raises(MyoedgeError, match="is loaded before it is complete"):
        enforce(PLANNED, broken, plan.quant.graph, "planned")
