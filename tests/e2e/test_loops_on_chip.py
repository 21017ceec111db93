# SPDX-License-Identifier: Apache-2.0
"""Loops in C: equal integers on the host and on the simulated chip, constants stored once."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

import myoedge
from myoedge.reports.wording import loops
from tests.conftest import save_exported, thinned
from tests.support.networks import stacks
from tests.support.networks.loops import Spikes
from tests.support.networks.stacks import CELLS, Stack
from tests.support.schemas import check
from tests.unit import test_torch_scans as scans
from tests.unit.test_loops import INPUTS, Begun, Delayed, Gated, Late, Loop, Plain, Swapped

OWN = ("run", "layers", "compute")  # last words of functions of network.c
CORES = 8


def built(
    network: nn.Module, steps: int, folder: Path, inputs: int = INPUTS, **options: Any
) -> myoedge.Build:
    shape = (1, steps, inputs)
    model = save_exported(network.eval(), (torch.zeros(shape),), folder / f"{steps}.pt2")
    calib = np.random.default_rng(0).standard_normal((6, *shape), np.float32)
    given = {"simulate": False, **options}
    return myoedge.build(model, calib=calib, output=folder / f"out{steps}", **given)


@pytest.mark.parametrize("bits", [pytest.param(8, marks=pytest.mark.slow), 16])
@pytest.mark.parametrize(
    ("kind", "states", "last"),
    [
        (Plain, 1, True),
        (Gated, 2, False),
        (Delayed, 2, False),
        (Swapped, 2, True),
        (Late, 2, False),
        (Begun, 2, True),
    ],
)
def test_loops_are_exact(
    kind: Callable[[], nn.Module], states: int, last: bool, bits: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    (tmp_path / "myoedge.toml").write_text(f'[quant]\n"*" = {{ activations = {bits} }}\n')
    network = Loop(kind(), 18, states=states, last=last)
    build = built(network, 18, tmp_path, config=tmp_path / "myoedge.toml")
    (loop,) = build.report["model"]["loops"]
    assert loop["steps"] > 7
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


@pytest.mark.parametrize(
    ("cells", "options", "bits"),
    [
        (("fired", "mixed", "summed"), {"own": (1,), "skips": (2,)}, 8),
        *(
            pytest.param(cells, options, bits, marks=pytest.mark.slow)
            for bits in (8, 16)
            for cells in product(CELLS, repeat=2)
            for options in ({}, {"own": (0, 1), "last": True})
        ),
    ],
)
def test_loops_divided_by_products_are_exact(
    cells: tuple[str, ...], options: dict[str, Any], bits: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    (tmp_path / "myoedge.toml").write_text(f'[quant]\n"*" = {{ activations = {bits} }}\n')
    network = Stack(cells, **options)
    build = built(network, 18, tmp_path, stacks.INPUTS, config=tmp_path / "myoedge.toml")
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


class Filtered(nn.Module):
    """A recurrence of elements of which each iteration reads and writes five."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.past = nn.Parameter(torch.rand(5)), nn.Parameter(torch.rand(5))

    def forward(self, x: Tensor) -> Tensor:
        state, found = x.new_zeros(1, 5), []
        for row in x.unbind(1):
            state = torch.tanh(self.own * row - self.past * state)
            found.append(state)
        return torch.stack(found, 1)


@pytest.mark.parametrize("bits", [8, 16])
def test_one_call_computes_all_iterations_of_rows_of_any_size(bits: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "myoedge.toml").write_text(f'[quant]\n"*" = {{ activations = {bits} }}\n')
    build = built(Filtered(), 18, tmp_path, 5, config=tmp_path / "myoedge.toml")
    (loop,) = build.report["model"]["loops"]
    assert loop["in_one_call"]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.difference is None


def test_a_loop_with_packed_weights_is_exact(tmp_path: Path) -> None:
    """Each layer first unpacks its weights."""
    torch.manual_seed(0)
    (tmp_path / "myoedge.toml").write_text('[quant]\n"*" = { weights = 4 }\n')
    network = Loop(Plain(), 18, states=1, last=True)
    build = built(network, 18, tmp_path, config=tmp_path / "myoedge.toml", engine="cores")
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_an_iteration_needs_few_instructions_beside_kernels(tmp_path: Path) -> None:
    """A core goes from one kernel of a loop to the next without reading a table of layers: in 16
    instructions. Oracle: the instructions that the simulator counts in iterations more."""
    torch.manual_seed(0)
    beside = {}
    for steps in (18, 34):
        build = built(Loop(Gated(), steps, states=2, last=False), steps, tmp_path)
        program, (loop,) = build.program, build.report["model"]["loops"]
        run = myoedge.simulate(build, profile=True).run
        assert run is not None
        named = ((program.function_at(at), n) for at, n in run.executed.items())
        beside[steps] = sum(n for name, n in named if name and name.split("_")[-1] in OWN)
    layers = loop["last"] - loop["first"] + 1
    assert layers > 1
    assert 0 < beside[34] - beside[18] <= 16 * CORES * 16 * layers


@pytest.mark.parametrize("step", [scans.delayed, scans.independent])
def test_loops_of_torchs_scan_are_exact(step: scans.TwoStates, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = (1, 18, scans.WIDTH)
    network = scans.Several(step).eval()
    model = save_exported(network, (torch.zeros(shape),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((6, *shape), np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


class Scanned(nn.Module):
    """A recurrence by torch's scan."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.past = nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.randn(5, 5) / 2)

    def forward(self, x: torch.Tensor) -> Any:
        def step(state: torch.Tensor, row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            state = torch.tanh(row @ self.own + state @ self.past)
            return state, state.clone()

        return scan(step, torch.zeros(1, 5), x, dim=0)


def test_a_loop_of_one_iteration_is_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = save_exported(Scanned().eval(), (torch.zeros(1, 1, 3),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((6, 1, 1, 3), np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.difference is None


class Looked(nn.Module):
    """Ids that each iteration looks up in a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.inner = nn.Embedding(50, 8), nn.Linear(16, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h, found = torch.zeros(1, 8), []
        for at in range(18):
            h = torch.tanh(self.inner(torch.cat([self.table(ids[:, at]), h], 1)))
            found.append(h)
        return torch.stack(found, 1)


def test_loops_over_ids_are_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ids = torch.zeros(1, 18, dtype=torch.long)
    model = save_exported(Looked().eval(), (ids,), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).integers(0, 50, (6, 1, 18))
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    assert "while (me_next_iteration(" in (build.folder / "src" / "network.c").read_text()
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.difference is None


class Wide(nn.Module):
    """Layers before, in and after a loop, whose weights exceed a small L2; two of them share
    weights."""

    def __init__(self, width: int = 208) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(INPUTS, width), nn.Linear(width, width)
        self.inner, self.width = nn.Linear(2 * width, width), width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, h, found = torch.relu(self.before(x)), torch.zeros(1, self.width), []
        for row in rows.unbind(1):
            h = torch.tanh(self.inner(torch.cat([row, h], 1))) + 0.5 * self.after(h)
            found.append(h)
        return self.after(torch.relu(torch.stack(found, 1)))


@pytest.mark.parametrize(
    ("l2", "engine"),
    [
        ("256KiB", "auto"),
        ("104KiB", "cores"),
        pytest.param("104KiB", "auto", marks=pytest.mark.slow),
    ],
)
def test_weights_of_a_loop_come_from_l3_in_each_iteration(
    l2: str, engine: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    steps = 11
    build = built(Wide(), steps, tmp_path, l2=l2, engine=engine, simulate=True)
    assert build.report["memory"]["l2_peak_bytes"] <= int(l2.removesuffix("KiB")) * 1024
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.difference is None
    x = np.random.default_rng(1).integers(-128, 128, (1, steps, INPUTS), np.int8)
    measured, _ = build.simulate([[x]])
    moved = [layer.l3_bytes for layer in measured.inferences[0].layers]
    planned = [row["l3_moved_bytes"] for row in build.report["layers"]]
    assert sum(moved) == sum(planned)
    assert (sum(planned) > 2 * build.report["memory"]["l3_bytes"]) == (l2 == "104KiB")


def test_size_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cell = Gated()
    few, many = (built(Loop(cell, n, states=2, last=False), n, tmp_path) for n in (10, 40))
    reports = few.report, many.report
    layers, weights = zip(
        *((len(r["layers"]), r["memory"]["weights_bytes"]) for r in reports), strict=True
    )
    assert layers[0] == layers[1]
    assert weights[0] == weights[1]
    assert reports[1]["model"]["macs"] >= 4 * reports[0]["model"]["macs"]


def test_cycles_are_of_all_steps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(Loop(Plain(), 20, last=True), 20, tmp_path, simulate=True)
    cycles = build.report["cycles"]
    layers = [row["cycles"] for row in build.report["layers"]]
    assert cycles["total"] == sum(layers) + cycles["outside_layers"]
    assert 0 <= cycles["outside_layers"] < 0.02 * cycles["total"]


def test_code_that_stays_in_the_instruction_cache_is_loaded_once(tmp_path: Path) -> None:
    """Estimates that load a loop's code in every iteration are half too high here, and make 16 bits
    look cheap to the precision search. Oracle: the simulator, which has the caches."""
    torch.manual_seed(0)
    build = built(Spikes(), 25, tmp_path, 8, simulate=True)
    estimated = sum(row["cycles_modelled"] for row in build.report["layers"])
    assert estimated == pytest.approx(build.report["cycles"]["total"], rel=0.25)


class Filters(nn.Module):
    """A loop of one chain: of elements for 12 channels, and of a product with the states."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.next = nn.Linear(INPUTS, 12), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, one, two, results = self.enter(x), x.new_zeros(1, 12), x.new_zeros(1, 12), []
        for row in rows.unbind(1):
            one, two = torch.tanh(row + one * 0.9 - two * 0.4), one
            results.append(one)
        filtered, state = torch.stack(results, 1), x.new_zeros(1, 12)
        for row in filtered.unbind(1):
            state = torch.tanh(self.next(state) + row)
        return filtered, state


@pytest.mark.parametrize("bits", thinned([16, 8]))
def test_loops_of_one_chain_are_one_call(bits: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "myoedge.toml").write_text(f'[quant]\n"*" = {{ activations = {bits} }}\n')
    build = built(Filters(), 20, tmp_path, config=tmp_path / "myoedge.toml")
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert (checked.exact["host"], checked.exact["simulator"]) == (True, True), checked.difference
    known = build.report["model"]["loops"]
    plan = json.loads((build.folder / "plan.json").read_text())
    assert [loop["in_one_call"] for loop in known] == [True, True]
    assert "loops" not in plan
    calls = [plan["steps"][loop["first"]]["iterations"] for loop in known]
    assert calls == [loop["steps"] for loop in known]
    sources = [x.read_text() for x in (build.folder / "src" / "library").glob("me_chain*.c")]
    assert sum("turn++" in text and "ME_SYNC" not in text for text in sources) == 1
    assert sum("turn++" in text and "ME_SYNC" in text for text in sources) == 1
    assert build.report["model"]["macs"] >= 12 * 12 * calls[1]


def test_reports_say_how_often_layers_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(Loop(Plain(), 20, last=True), 20, tmp_path)
    check(json.loads((build.folder / "report.json").read_text()))
    (loop,) = build.report["model"]["loops"]
    plan = json.loads((build.folder / "plan.json").read_text())
    assert plan["loops"] == [loop]
    told = f"layers {loop['first']} to {loop['last']} run {loop['steps']} times"
    assert loop["steps"] >= 18
    assert told in loops(build.report)
    assert told in (build.folder / "report.html").read_text()


class Framed(nn.Module):
    """Large feature maps before and after a loop, one of which is written before and read after."""

    def __init__(self, channels: int = 64, width: int = 16) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(2, 1, 3, padding=1), nn.Conv2d(2, channels, 3, padding=1)
        self.deep, self.back = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.inner, self.out = nn.Linear(2 * width, width), nn.Conv2d(channels, 1, 3, padding=1)
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.relu(self.narrow(x))[:, 0, ::2, ::4]
        large, h, found = (
            torch.relu(self.deep(torch.relu(self.wide(x)))),
            torch.zeros(1, self.width),
            [],
        )
        for row in rows.unbind(1):
            h = torch.tanh(self.inner(torch.cat([row, h], 1)))
            found.append(h)
        scores = nn.functional.interpolate(torch.stack(found, 1)[:, None], scale_factor=(2, 4))
        y: torch.Tensor = self.out(torch.relu(self.back(large)) * scores)
        return y


def test_maps_that_only_layers_outside_a_loop_access_go_to_l3(tmp_path: Path) -> None:
    """Also one that is written before the loop and read after it; the bytes are the same."""
    torch.manual_seed(0)
    shape = (1, 2, 24, 64)
    model = save_exported(Framed().eval(), (torch.zeros(shape),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    x, outputs, sides = np.random.default_rng(1).integers(-128, 128, shape, np.int8), [], []
    for l2 in (None, "140KiB"):
        folder = tmp_path / f"{l2}"
        build = myoedge.build(model, calib=calib, output=folder, l2=l2, simulate=False)
        assert myoedge.validate(build, on=("host", "simulator")).difference is None
        outputs.append(build.run_raw([x])[0])
        plan = json.loads((folder / "plan.json").read_text())
        (loop,) = build.report["model"]["loops"]
        hauls = [haul for haul in plan["transfers"] if "map" in haul]
        before = {haul["map"] for haul in hauls if haul["step"] < loop["first"]}
        after = {haul["map"] for haul in hauls if haul["step"] > loop["last"]}
        assert all(not loop["first"] <= haul["step"] <= loop["last"] for haul in hauls)
        sides.append((bool(before - after), bool(after - before), bool(before & after)))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert sides == [(False, False, False), (True, True, True)]
