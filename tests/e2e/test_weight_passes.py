# SPDX-License-Identifier: Apache-2.0
"""Weights that tiles read again in each pass, as those of a recurrent layer in each time step, come
to L2 again in each of them where L2 cannot hold them; the bytes of the results are the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.backends.measurement import FirmwareFiles
from myoedge.backends.simulator import run_firmware
from myoedge.codegen.firmware import make_firmware
from myoedge.codegen.project import make_sources
from myoedge.operators.interpreter import run_int
from myoedge.plan.cost.network import moved_bytes
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.targets import find_chip
from tests.e2e.test_less_l2 import on_host, quantized

STEPS = 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
UNITS = {"LSTM": 96, "GRU": 128, "RNN": 200}


class Recurrent(nn.Module):
    """A recurrent layer of which all states, or the last one, are read."""

    def __init__(self, kind: str, *, last: bool, units: int) -> None:
        super().__init__()
        self.last = last
        self.cell = getattr(nn, kind)(16, units, batch_first=True)
        self.head = nn.Linear(units, 4)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.cell(x)
        return self.head(states[:, -1] if self.last else states)


@cache
def network(kind: str, *, last: bool = True, units: int = 0) -> QuantGraph:
    torch.manual_seed(0)
    shape = (1, STEPS, 16)
    model = Recurrent(kind, last=last, units=units or UNITS[kind]).eval()
    calib = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    return quantized(torch.export.export(model, (torch.zeros(shape),)), calib)


def plan_in(q: QuantGraph, l2_bytes: int) -> Plan:
    return make_plan(q, replace(find_chip("gap9"), l2_bytes=l2_bytes, l2_reserved_bytes=0))


def pass_tiles(plan: Plan) -> list[int]:
    """Tiles of the passes of its layers that have them."""
    return [*filter(None, plan.timeline_steps.passes)]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("kind", GATES)
def test_weights_come_again_in_each_time_step(kind: str, last: bool, tmp_path: Path) -> None:
    q, weights_bytes = network(kind, last=last), GATES[kind] * UNITS[kind] ** 2
    l2_bytes = weights_bytes // 2
    plan = plan_in(q, l2_bytes)
    (tiles,) = pass_tiles(plan)
    (at,) = (i for i, x in enumerate(plan.steps) if plan.timeline_steps.passes[i])
    assert tiles * STEPS == len(plan.tilings[at].tiles)
    assert plan.l2_bytes <= l2_bytes
    assert moved_bytes(plan)["l3"] > STEPS * (weights_bytes - l2_bytes)
    (name,) = q.graph.inputs
    x = np.random.default_rng(1).integers(-128, 128, q.graph.shape(name), np.int8)
    values = run_int(q.steps, q.constants, {name: x})
    wanted = [values[n].tobytes() for n in q.graph.outputs]
    sources = make_sources(plan, kind.lower())
    specs = [(q.graph.shape(n), q.dtype(n)) for n in q.graph.outputs]
    files = FirmwareFiles([[x]] * 2, specs, len(plan.steps), plan.image_files)
    measured, _ = run_firmware(make_firmware(sources).program, files)
    for inference in measured.inferences:  # the second one loads all weights anew
        assert [y.tobytes() for y in inference.outputs] == wanted
    assert on_host(sources.files, [x], specs, plan.image("l3"), tmp_path) == wanted


def test_a_host_shows_passes_whose_transfers_are_not_repeated(tmp_path: Path) -> None:
    """Without the transfers of a pass again, later time steps read bytes of other units."""
    q = network("LSTM")
    plan = plan_in(q, 2 * UNITS["LSTM"] ** 2)
    (name,) = q.graph.inputs
    x = np.random.default_rng(1).integers(-128, 128, q.graph.shape(name), np.int8)
    specs = [(q.graph.shape(n), q.dtype(n)) for n in q.graph.outputs]
    files = dict(make_sources(plan, "lstm").files)
    again = "        me_transfers_loop_again();\n#else"
    assert again in files["me_tiles.h"]
    files["me_tiles.h"] = files["me_tiles.h"].replace(again, "        (void)t;\n#else")
    values = run_int(q.steps, q.constants, {name: x})
    got = on_host(files, [x], specs, plan.image("l3"), tmp_path)
    assert got != [values[n].tobytes() for n in q.graph.outputs]


@pytest.mark.parametrize("kind", GATES)
def test_passes_are_only_where_l2_cannot_hold_the_weights(kind: str) -> None:
    q = network(kind)
    assert not pass_tiles(make_plan(q, find_chip("gap9")))


@pytest.mark.parametrize(("kind", "units"), [("LSTM", 640), ("GRU", 740), ("RNN", 1280)])
def test_weights_of_a_step_may_exceed_all_of_l2(kind: str, units: int) -> None:
    """Of 1.6 MB and more; the chip has 1.5 MB."""
    plan = make_plan(network(kind, units=units), find_chip("gap9"))
    assert GATES[kind] * units**2 > plan.chip.l2_bytes
    assert plan.l2_bytes <= plan.chip.l2_bytes
    assert pass_tiles(plan)
