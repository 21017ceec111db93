# SPDX-License-Identifier: Apache-2.0
"""Data of loops that stay in L1, and what they cost the tiles of other layers."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.measurement import FirmwareFiles
from myoedge.backends.simulator import run_firmware
from myoedge.codegen.firmware import make_firmware
from myoedge.codegen.project import make_sources
from myoedge.codegen.render import template_dir
from myoedge.operators.interpreter import run_int
from myoedge.plan.cost.network import modelled_cycles
from myoedge.plan.l1 import layers
from myoedge.plan.l1.loop_data import ARGUMENTS_BYTES, loop_data
from myoedge.plan.l1.resident import LONGEST
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.targets import find_chip
from tests.conftest import save_exported
from tests.e2e.test_less_l2 import quantized

WIDTH = 230  # its weights take 52,900 bytes, less than half of L1


class Refined(nn.Module):
    """A large product, whose tiles want all of L1, then a loop over its first rows."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.wide, self.inner = nn.Linear(512, 512), nn.Linear(WIDTH, WIDTH)
        self.steps = steps

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.relu(self.wide(x))
        h = y[:, 0, :WIDTH]
        for row in range(self.steps):
            h = torch.tanh(self.inner(h) + x[:, row, :WIDTH])
        return y, h


@functools.cache
def refined(steps: int) -> QuantGraph:
    torch.manual_seed(0)
    x = torch.zeros(1, 300, 512)
    calib = np.random.default_rng(0).standard_normal((2, *x.shape), np.float32)
    return quantized(torch.export.export(Refined(steps).eval(), (x,)), calib)


def planned(steps: int) -> Plan:
    return make_plan(refined(steps), find_chip("gap9"))


@pytest.mark.parametrize(("steps", "slower"), [(16, "half"), (200, "none")])
def test_constants_of_a_loop_stay_in_l1_if_that_saves_cycles(
    steps: int, slower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few iterations do not pay for the smaller tiles of other layers."""
    chosen, found = modelled_cycles(planned(steps)), dict[str, float]()
    always = {
        "half": lambda *given: loop_data(*given)[:1],
        "none": lambda *given: loop_data(*given)[-1:],
    }
    for name, rule in always.items():
        monkeypatch.setattr(layers, "loop_data", rule)
        found[name] = modelled_cycles(planned(steps))
    assert found[slower] > 1.02 * chosen
    assert min(found.values()) >= chosen


def test_the_c_asserts_the_planned_sizes() -> None:
    header = (template_dir() / "include" / "me_loop.h").read_text()
    assert [int(size) for size in re.findall(r"<= (\d+),", header)] == [ARGUMENTS_BYTES]


class Deep(nn.Module):
    """A recurrence whose first result is read again after more layers than tensors usually stay in
    L1."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.begin = nn.Linear(2 * ROW, ROW)
        self.chain = nn.ModuleList(nn.Linear(ROW, ROW) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, rows = x[:, 0] * 0.5, []
        for row in range(1, x.shape[1]):
            first = y = torch.tanh(self.begin(torch.cat([x[:, row], h], 1)))
            for linear in self.chain:
                y = torch.relu(linear(y))
            h = torch.tanh(y + first)
            rows.append(h)
        return torch.stack(rows, 1)


ROW = 12


@pytest.mark.parametrize("depth", [1, LONGEST + 4])
def test_transfers_of_a_loop_are_its_rows_alone(depth: int) -> None:
    """States and results stay in L1, however short the body is; rows that are read are fetched
    during the iteration before; kernel arguments are written once."""
    torch.manual_seed(0)
    x = torch.zeros(1, 17, ROW)
    calib = np.random.default_rng(0).standard_normal((2, *x.shape), np.float32)
    network = quantized(torch.export.export(Deep(depth).eval(), (x,)), calib)
    plan = make_plan(network, find_chip("gap9"))
    (loop,) = plan.loops
    body = plan.tilings[loop.first : loop.last + 1]
    moved = [
        x.bytes for tiling in body for tile in tiling.tiles for x in (*tile.loads, *tile.stores)
    ]
    itemsize = network.element_type(network.graph.inputs[0]).size_bytes
    assert loop.steps > 8
    assert moved == [ROW * itemsize]  # the result's row
    assert all(tiling.arguments_once for tiling in body)


class Behind(nn.Module):
    """A recurrence over some rows of two layers, whose results are far larger than its own."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(ROW, 64), nn.Linear(64, ROW)
        self.loop = Deep(LONGEST + 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.relu(self.narrow(torch.relu(self.wide(x))))
        y: torch.Tensor = self.loop(torch.tanh(rows[:, ::40]))
        return y


def test_a_loop_beside_feature_maps_in_l3_is_exact() -> None:
    """Oracle: the reference, without a plan."""
    torch.manual_seed(0)
    x = torch.zeros(1, 480, ROW)
    rng = np.random.default_rng(0)
    calib = rng.standard_normal((2, *x.shape), np.float32)
    network = quantized(torch.export.export(Behind().eval(), (x,)), calib)
    plan = make_plan(
        network, replace(find_chip("gap9"), l1_bytes=16 << 10, l2_bytes=16000, l2_reserved_bytes=0)
    )
    assert plan.maps
    assert plan.loops
    (name,), (out,) = network.graph.inputs, network.graph.outputs
    sample = rng.integers(-128, 128, x.shape, np.int8)
    wanted = run_int(network.steps, network.constants, {name: sample})[out]
    specs = [(wanted.shape, wanted.dtype)]
    files = FirmwareFiles([[sample]], specs, len(plan.steps), plan.image_files)
    measured, _ = run_firmware(make_firmware(make_sources(plan, "loop")).program, files)
    np.testing.assert_array_equal(measured.inferences[0].outputs[0], wanted)


class Parts(nn.Module):
    """A recurrence whose first layer reads a part of the row that a later one reads whole."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.part = nn.Linear(16, 16), nn.Linear(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, rows = x.new_zeros(1, 16), []
        for row in torch.tanh(x * 0.5).unbind(1):
            h = torch.tanh(self.state(h) + self.part(row[:, :8]))
            h = torch.tanh(self.state(torch.relu(h + row) * 0.5))
            rows.append(h)
        return torch.stack(rows, 1)


LARGE = 260  # so that its linear layer is not joined with what follows it


class Late(nn.Module):
    """A recurrence whose last layer reads the row."""

    def __init__(self) -> None:
        super().__init__()
        self.state = nn.Linear(LARGE, LARGE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, rows = x.new_zeros(1, LARGE), []
        for row in torch.tanh(x * 0.5).unbind(1):
            h = torch.tanh(self.state(h) * row + row)
            rows.append(h)
        return torch.stack(rows, 1)


@pytest.mark.parametrize(
    ("model", "width", "fetch"), [(Parts, 16, "_fetch_next_x"), (Late, LARGE, "_fetch_x")]
)
def test_rows_are_fetched_whole_beside_layers_that_do_not_read_them(
    model: type[nn.Module], width: int, fetch: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    path = save_exported(model().eval(), (torch.zeros(1, 20, width),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((6, 1, 20, width)).astype(np.float32)
    build = myoedge.build(path, calib=calib, output=tmp_path / "out", simulate=False)
    assert fetch in (build.folder / "src" / "network.c").read_text()
    assert myoedge.validate(build, on=("host", "simulator")).difference is None


STATES = 132


class Final(nn.Module):
    """A recurrence whose last states are read by a layer behind it; one is an output too."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.head = nn.Linear(STATES, STATES), nn.Linear(2 * STATES, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h, c = torch.tanh(x[:, 0] * 0.5), torch.tanh(x[:, 1])
        for row in x[:, 2:].unbind(1):
            c = torch.tanh(0.5 * c + self.state(h))
            h = torch.tanh(c * 2.0 + row)
        return h, self.head(torch.cat([h, c], 1))


def test_states_that_are_read_after_a_loop_move_once(tmp_path: Path) -> None:
    """Oracle of the outputs: the reference, which knows no L1."""
    torch.manual_seed(0)
    path = save_exported(Final().eval(), (torch.zeros(1, 20, STATES),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((6, 1, 20, STATES)).astype(np.float32)
    build = myoedge.build(path, calib=calib, output=tmp_path / "out", simulate=False)
    plan = json.loads((build.folder / "plan.json").read_text())
    (loop,) = plan["loops"]
    body = plan["steps"][loop["first"] : loop["last"] + 1]
    assert loop["steps"] > 8
    assert [step["tiles"]["transfers"] for step in body] == [0] * len(body)
    text = (build.folder / "src" / "network.c").read_text()
    (after,) = re.findall(r"after_loop0\(void\)\n{\n(.*?)}", text, re.DOTALL)
    assert after.count("me_send(") == 2
    (first,) = re.findall(r"me_layer me_layers.*", text, re.DOTALL)
    assert first.count(".back_to_back = 1") >= len(body)
    assert myoedge.validate(build, on=("host", "simulator")).difference is None
