# SPDX-License-Identifier: Apache-2.0
"""The same network in less and less L2: what has no room comes from L3; the bytes are the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.backends import host
from myoedge.backends.measurement import FirmwareFiles
from myoedge.backends.simulator import run_firmware
from myoedge.building import confirm
from myoedge.building.budget import Budget, CodeOverBudget
from myoedge.building.energy import coefficients
from myoedge.building.finishing import BuildInputs, SimulationOptions
from myoedge.building.plan_within import plan_within
from myoedge.building.plans import planned
from myoedge.building.quantized import Quantized
from myoedge.building.remedies import advised
from myoedge.building.request import BuildRequest
from myoedge.codegen.firmware import make_firmware
from myoedge.codegen.project import make_sources
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.plan.levels.transfers import LevelTransfer
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.system import toolchain, tools
from myoedge.system.library import ObjectOptions, compile_objects
from myoedge.targets import CHIPS, find_chip
from tests.conftest import myoedge as command
from tests.conftest import save_exported, thinned
from tests.support.networks.drawn import Random, windows
from tests.support.networks.small import resnet18

SLACK = 2048  # bytes: other tiles cut arrays into other pieces
BUDGETS = ("128KiB", "64KiB", "40KiB", "28KiB", "23KiB")
SHAPE = (1, 3, 12, 10)


class Deep(nn.Module):
    """90 KB of weights: convolutions with a branch, a layer that works on L2, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 32, 3, padding=1)
        self.b = nn.Conv2d(32, 48, 3, stride=2, padding=1)
        self.c = nn.Conv2d(48, 48, 3, padding=1)
        self.d = nn.Conv2d(48, 64, 3, stride=2, padding=1, groups=2)
        self.e = nn.Linear(64 * 9, 64)
        self.f = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(self.b(torch.relu(self.a(x))))
        y = torch.relu(self.d(y + torch.tanh(self.c(y)))).flatten(1)
        z = torch.relu(self.e(y))
        return self.f(z), z


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("less_l2")
    return save_exported(Deep(), (torch.zeros(SHAPE),), folder / "m.pt2")


def built(model: Path, folder: Path, l2: str) -> myoedge.Build:
    calib = np.random.default_rng(0).standard_normal((8, *SHAPE), np.float32)
    return myoedge.build(model, calib=calib, output=folder, l2=l2, engine="cores", method="minmax")


def network(model: Path) -> QuantGraph:
    """As in all builds of it."""
    calib = np.random.default_rng(0).standard_normal((8, *SHAPE), np.float32)
    return quantized(torch.export.load(model), calib)


def quantized(program: torch.export.ExportedProgram, calib: np.ndarray[Any, Any]) -> QuantGraph:
    graph = prepare(from_exported(program))
    return quantize_graph(graph, calibrate(graph, {graph.inputs[0]: calib}, Observer(), "test"))


@pytest.fixture(scope="module")
def small(model: Path, tmp_path_factory: pytest.TempPathFactory) -> myoedge.Build:
    """In a quarter of the L2 that it fills."""
    return built(model, tmp_path_factory.mktemp("small") / "out", "32KiB")


def sample() -> list[np.ndarray[Any, Any]]:
    return [np.random.default_rng(1).integers(-128, 128, SHAPE, np.int8)]


@pytest.mark.parametrize("budgets", thinned([[*BUDGETS[::2]], [*BUDGETS]]))
def test_less_l2_gives_the_same_bytes(model: Path, tmp_path: Path, budgets: list[str]) -> None:
    l3, found = [], []
    for l2 in budgets:
        build = built(model, tmp_path / l2, l2)
        assert myoedge.validate(build, on=("host", "simulator")).difference is None, l2
        memory = build.report["memory"]
        assert memory["l2_peak_bytes"] <= int(l2.removesuffix("KiB")) * 1024
        assert memory["l3_bytes"] == len(build.l3_image or b"")
        l3.append(memory["l3_bytes"])
        weights_bytes = sum(row["weights_bytes"] for row in build.report["layers"])
        found.append([y.tobytes() for y in build.run_raw(sample())])
    assert all(outputs == found[0] for outputs in found)
    assert l3[0] == 0
    assert all(b >= a - SLACK for a, b in pairwise(l3)), "less room, more from L3"
    assert l3[-1] >= weights_bytes - int(budgets[-1].removesuffix("KiB")) * 1024


def test_every_inference_brings_its_weights_anew(small: myoedge.Build) -> None:
    """Nothing is left over from the inference before; the chip moves what the plan says."""
    inputs = [[x + i for x in sample()] for i in range(3)]
    measured, _ = small.simulate(inputs)
    for given, inference in zip(inputs, measured.inferences, strict=True):
        for y, wanted in zip(inference.outputs, small.run_raw(given), strict=True):
            np.testing.assert_array_equal(y, wanted)
        moved = sum(layer.l3_bytes for layer in inference.layers)
        assert moved == small.report["memory"]["l3_bytes"]


def test_the_report_says_whose_weights_come_from_l3(small: myoedge.Build) -> None:
    where = [row["weights_in"] for row in small.layers]
    assert {"L2", "L3"} <= set(where)
    assert set(where) <= {"L2", "L3", None}


@pytest.mark.parametrize("change", ["missing", "short", "another"])
def test_l3_bin_is_the_builds_own(small: myoedge.Build, tmp_path: Path, change: str) -> None:
    shutil.copytree(small.folder, tmp_path / "moved")
    build = myoedge.load_build(tmp_path / "moved")
    np.testing.assert_array_equal(build.run_raw(sample())[0], small.run_raw(sample())[0])
    file = tmp_path / "moved" / "l3.bin"
    whole = file.read_bytes()
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-4] if change == "short" else whole[::-1])
    for verb in ("validate", "simulate"):
        ran = command(verb, tmp_path / "moved", cwd=tmp_path)
        assert ran.code == 2, ran.err
        assert "E222" in ran.err


def test_firmware_without_l3_bin_says_so(small: myoedge.Build) -> None:
    files = FirmwareFiles([sample()], small.output_specs, len(small.layer_names))
    with pytest.raises(MyoedgeError) as raised:
        run_firmware(small.program, files)
    assert raised.value.code == "E711"
    assert dict(raised.value.notice.facts)["exit code"] == "106"


def test_make_check_reads_l3_bin(small: myoedge.Build, tmp_path: Path) -> None:
    src, program = small.folder / "src", tmp_path / "src" / "selftest"
    program.parent.mkdir()
    cc = toolchain.compiler("zig")
    flags = ("-fPIC", *toolchain.CompileOptions().flags(cc))  # kernels as in libraries
    include = [src, src / "library"]
    kernels = sorted(src.glob("library/*.c"))
    objects, _ = compile_objects(kernels, ObjectOptions(src, cc, flags, include))
    done = toolchain.compile_sources(sorted(src.glob("*.c")), program, cc, flags, include, objects)
    assert done.returncode == 0, done.stderr
    ran = tools.run([str(program)], cwd=program.parent)
    assert ran.returncode == 2
    assert "../l3.bin: 0 of" in ran.stdout
    shutil.copy(small.folder / "l3.bin", tmp_path)
    ran = tools.run([str(program)], cwd=program.parent)
    assert (ran.returncode, "bit for bit" in ran.stdout) == (0, True), ran.stdout


def run_plan(plan: Plan, folder: Path, changes: dict[str, str]) -> list[bytes]:
    """Outputs of a plan's C on this machine, some of its text replaced."""
    files = dict(make_sources(plan, "changed").files)
    for old, new in changes.items():
        files["me_level_transfers.h"] = files["me_level_transfers.h"].replace(old, new)
    graph = plan.quant.graph
    specs = [(graph.shape(n), plan.quant.dtype(n)) for n in graph.outputs]
    return on_host(files, sample(), specs, plan.image("l3"), folder)


def on_host(
    files: Mapping[str, str], inputs: list[Any], specs: list[Any], l3: bytes | None, folder: Path
) -> list[bytes]:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    return [y.tobytes() for y in host.run(host.load_library(folder), inputs, specs, l3=l3)]


def follows(transfer: LevelTransfer, other: LevelTransfer) -> bool:
    """Whether it takes bytes of L2 as soon as another is done with them."""
    ends = (transfer.l2 + transfer.chunk.room_bytes, other.l2 + other.chunk.room_bytes)
    meet = transfer.l2 < ends[1] and other.l2 < ends[0]
    return meet and transfer.begins == other.chunk.last + 1


@pytest.mark.slow
def test_a_host_shows_hauls_out_of_time(model: Path, small: myoedge.Build, tmp_path: Path) -> None:
    """One that nobody waits for, one that begins a moment too early, L3 in another order."""
    plan = make_plan(
        network(model), replace(find_chip("gap9"), l2_bytes=32768, l2_reserved_bytes=0)
    )
    wanted = [y.tobytes() for y in small.run_raw(sample())]
    assert run_plan(plan, tmp_path / "sound", {}) == wanted
    unawaited = {
        "    me_finish_transfers(level, ended);\n": "    me_finish_transfers(level, 0 * ended);\n"
    }
    assert run_plan(plan, tmp_path / "unawaited", unawaited) != wanted
    transfers = list(plan.transfers)
    behind = [n for n, h in enumerate(transfers) if any(follows(h, other) for other in transfers)]
    early = []
    for n in behind:  # some of them overwrite bytes that were read just before
        moved = [replace(h, begins=h.begins - (i == n)) for i, h in enumerate(transfers)]
        early.append(
            run_plan(replace(plan, transfers=tuple(moved)), tmp_path / f"early{n}", {}) != wanted
        )
    assert any(early)


@pytest.mark.slow
def test_what_one_tile_needs_has_to_fit(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as raised:
        built(model, tmp_path / "out", "1KiB")
    facts = dict(raised.value.notice.facts)
    assert raised.value.code == "E302"
    assert facts["has"] == "1,024 B"
    assert "stays in L2" in facts
    assert not os.path.exists(tmp_path / "out")


L1 = "64KiB"  # keeps none of the maps


class Maps(nn.Module):
    """48 KB for each of five feature maps, two of which meet; next to no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 3, padding=1)
        self.c = nn.Conv2d(16, 16, 1)
        self.d = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.e = nn.Conv2d(16, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.a(x))
        z = torch.tanh(self.d(self.c(torch.relu(self.b(y))) + y))
        return self.e(nn.functional.max_pool2d(z, 2)).mean((2, 3))


@pytest.mark.parametrize("sizes", thinned([["256KiB", "40KiB"], ["256KiB", "100KiB", "40KiB"]]))
def test_feature_maps_leave_l2_and_come_back(tmp_path: Path, sizes: list[str]) -> None:
    """More of them with less room; bit for bit on every rung, layers that stay in L2 one by one."""
    torch.manual_seed(0)
    shape = (1, 2, 60, 50)
    model = save_exported(Maps().eval(), (torch.zeros(shape),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    counts, found = [], []
    for l2 in sizes:
        build = myoedge.build(model, calib=calib, output=tmp_path / "out", l1=L1, l2=l2)
        assert myoedge.validate(build, on=("host", "simulator")).difference is None, l2
        given = [np.random.default_rng(1).integers(-128, 128, shape, np.int8)]
        found.append([y.tobytes() for y in build.run_raw(given)])
        counts.append(len(json.loads(build.written("plan.json"))["maps"]))
    assert found[1:] == found[:-1]
    assert counts[0] == 0
    assert all(a < b for a, b in pairwise(counts))


def test_inputs_and_outputs_larger_than_l2(tmp_path: Path) -> None:
    """12 KB each, in 20 KiB, with 96 KB between; every inference has its own."""
    torch.manual_seed(0)
    shape = (1, 1, 120, 100)
    layers = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    model = save_exported(nn.Sequential(*layers).eval(), (torch.zeros(shape),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", l2="20KiB")
    assert myoedge.validate(build, on=("host", "simulator")).difference is None
    assert len(json.loads(build.written("plan.json"))["maps"]) == 3
    reasons = {row["other_engine"] for row in build.report["layers"] if row["op"] == "conv"}
    assert reasons == {"ne16 needs room in L2 for the whole plan with layers there, not 20,480 B"}
    (tmp_path / "my.toml").write_text('[engine]\n"2" = "ne16"\n')
    forced = {"calib": calib, "output": tmp_path / "forced", "config": tmp_path / "my.toml"}
    with pytest.raises(MyoedgeError) as refused:
        myoedge.build(model, l2="20KiB", **forced)
    assert refused.value.notice.tries[0] == "a larger --l2, or smaller feature maps"
    assert "ne16" in {row["engine"] for row in myoedge.build(model, **forced).report["layers"]}
    shown = command("inspect", build.folder, "--memory", cwd=tmp_path)
    assert (shown.code, "L3" in shown.out) == (0, True), shown.err
    rng = np.random.default_rng(1)
    inputs = [[rng.integers(-128, 128, shape, np.int8)] for _ in range(3)]
    measured, _ = build.simulate(inputs)
    for given, inference in zip(inputs, measured.inferences, strict=True):
        np.testing.assert_array_equal(inference.outputs[0], build.run_raw(given)[0])


def test_inputs_and_outputs_whose_axes_are_turned_stream(tmp_path: Path) -> None:
    """All channels' rows come into L2 side by side, from places apart in L3, and leave so."""
    torch.manual_seed(0)
    shape = (1, 3, 61, 49)
    layers = (nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 2))
    model = save_exported(nn.Sequential(*layers).eval(), (torch.zeros(shape),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", l2="8KiB", l1="40KiB")
    assert myoedge.validate(build, on=("host", "simulator")).difference is None
    plan = json.loads(build.written("plan.json"))
    turning = [step["name"] for step in plan["steps"] if step["op"] == "transpose"]
    maps = {transfer["map"] for transfer in plan["transfers"] if transfer.get("map")}
    assert {"input", turning[-1]} <= maps
    assert len(turning) == 2


@pytest.mark.slow
def test_maps_that_l1_keeps_from_l3_are_not_blamed_on_l2() -> None:
    """What is needed is what the best plan leaves in L2; who is to blame: what more of alone is
    enough."""
    shape = (1, 3, 61, 49)
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 2)).eval()
    calib = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    q = quantized(torch.export.export(layers, (torch.zeros(shape),)), calib)

    def without_code(inputs: BuildInputs) -> Any:
        plan = next(planned(q, inputs.request, advises=False).candidates)
        report = {"memory": {"code_bytes": 0}}
        return SimpleNamespace(
            build_plan=plan, contents=SimpleNamespace(firmware=None), report=report
        )

    def told(l1_bytes: int, l2_bytes: int) -> dict[str, str]:
        request, network = asked(l1_bytes, l2_bytes), cast("Quantized", SimpleNamespace(network=q))
        short = planned(q, request).short
        assert short is not None
        rest = (coefficients(), SimulationOptions(), lambda name: nullcontext(), lambda n, c: n)
        broken = advised(short, BuildInputs(network, request, *rest), without_code)
        title = broken.title or f"over budget: {broken.name}"
        return {"title": title, "try": broken.tries[0], **broken.facts}

    def asked(l1_bytes: int | None, l2_bytes: int | None) -> BuildRequest:
        return BuildRequest(find_chip("gap9"), Budget(l1_bytes=l1_bytes, l2_bytes=l2_bytes))

    short, small, both = told(12_500, 8192), told(40 << 10, 2048), told(12_500, 2048)
    assert short["title"] == "over budget: l1, with which the network does not fit L2"
    assert small["title"] == "over budget: l2"
    assert both["title"] == "over budget: l1 and l2"
    assert "--l1" in both["try"]
    assert "--l2" in both["try"]
    for enough in (asked(None, 8192), asked(40 << 10, None)):
        assert planned(q, enough).short is None
    assert "conv" in short["L1"]
    assert "L1" not in small
    assert short["needs"].startswith("21,")
    assert f"{4 * 61 * 49:,} B" in short["stays in L2"]
    plan = plan_within(q, find_chip("gap9"), Budget(l1_bytes=40 << 10, l2_bytes=8192))
    assert plan.l2_bytes <= 8192


@pytest.mark.slow
def test_a_feature_map_of_three_megabytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = (1, 2, 900, 120)
    layers = (nn.Conv2d(2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 4, 3, 2, 1))
    model = save_exported(nn.Sequential(*layers).eval(), (torch.zeros(shape),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    simulated = myoedge.simulate(myoedge.build(model, calib=calib, output=tmp_path / "out"))
    (inference,) = simulated.measurement.inferences
    assert simulated.exact
    assert sum(row.l3_bytes for row in inference.layers) >= 2 * 900 * 120 * 32


@pytest.mark.slow
def test_a_host_shows_maps_out_of_time(tmp_path: Path) -> None:
    """One that leaves before its last tile is stored, one that comes before it is all there."""
    torch.manual_seed(0)
    shape = (1, 2, 60, 50)
    model = torch.export.export(Maps().eval(), (torch.zeros(shape),))
    q = quantized(model, np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32))
    little = replace(find_chip("gap9"), l1_bytes=64 << 10, l2_bytes=100 << 10, l2_reserved_bytes=0)
    plan = make_plan(q, little)
    given = [np.random.default_rng(1).integers(-128, 128, shape, np.int8)]
    specs = [(q.graph.shape(n), q.dtype(n)) for n in q.graph.outputs]

    def outputs(plan: Plan, folder: str) -> list[bytes]:
        files = make_sources(plan, "maps").files
        return on_host(files, given, specs, plan.image("l3"), tmp_path / folder)

    wanted = outputs(plan, "sound")
    values = run_int(q.steps, q.constants, {q.graph.inputs[0]: given[0]})
    assert wanted == [values[name].tobytes() for name in q.graph.outputs]
    for out in (True, False):
        mine = [
            n
            for n, transfer in enumerate(plan.transfers)
            if transfer.chunk.tensor and transfer.out == out
        ]
        index, transfers = mine[3], list(plan.transfers)
        transfers[index] = replace(transfers[index], begins=transfers[index].begins - 2)
        early = transfers[index].begins
        transfers[:index] = [replace(h, begins=min(h.begins, early)) for h in transfers[:index]]
        assert outputs(replace(plan, transfers=tuple(transfers)), f"early {out}") != wanted, out


def test_the_part_of_a_layer_that_exceeds_l2_arrives_at_the_rate_of_l3(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = save_exported(nn.Linear(1024, 2048), (torch.zeros(1, 1024),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((2, 1, 1024), np.float32)
    build = myoedge.build(layer, calib=calib, output=tmp_path / "out")
    simulated = myoedge.simulate(build)
    (inference,) = simulated.measurement.inferences
    moved = sum(row.l3_bytes for row in inference.layers)
    assert simulated.exact
    room_bytes = find_chip("gap9").l2_room_bytes
    assert 0 < moved - (2 * 1024 * 1024 - room_bytes) < 0.1 * room_bytes, "L2 is full"
    assert "The parts of 2,097,152 bytes that stay in L2" in build.written("src/weights.h").decode()
    resident_bytes = 2 * 1024 * 1024 - moved  # its tiles reach L1 at 8 bytes per cycle
    assert inference.cycles <= 2 * moved + resident_bytes // 8


@pytest.mark.slow
@pytest.mark.parametrize(("size", "of_bound", "macs_per_cycle"), [(64, 1.1, 0.0), (128, 2.2, 12.0)])
def test_resnet_18_from_l3(
    tmp_path: Path, size: int, of_bound: float, macs_per_cycle: float
) -> None:
    """L3 bounds small images: two cycles a byte. Large ones are bound by their products."""
    torch.manual_seed(0)
    shape = (1, 3, size, size)
    model = save_exported(resnet18().eval(), (torch.zeros(shape),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    simulated = myoedge.simulate(myoedge.build(model, calib=calib, output=tmp_path / "out"))
    (inference,) = simulated.measurement.inferences
    moved = sum(row.l3_bytes for row in inference.layers)
    assert simulated.exact
    weights_bytes = sum(row["weights_bytes"] for row in simulated.report["layers"])
    assert moved >= weights_bytes - find_chip("gap9").l2_room_bytes > 9_000_000
    assert inference.cycles <= of_bound * 2 * moved
    macs = sum(row["macs"] for row in simulated.report["layers"])
    assert macs >= macs_per_cycle * inference.cycles


def budget_of(plan: Plan, rng: np.random.Generator) -> int:
    """Bytes of L2 that leave between a tenth and all of the weights without a place."""
    stays = plan.arena_bytes + plan.border_bytes
    return int(stays + rng.uniform(0.1, 0.9) * plan.weight_bytes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_random_networks_in_little_memory(tmp_path: Path) -> None:
    assert sum(in_little_memory(seed, tmp_path / str(seed)) for seed in range(1000, 1004)) >= 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", range(10))
def test_more_random_networks_in_little_memory(block: int, tmp_path: Path) -> None:
    """Host and simulated chip give the reference's bytes; where so little is not enough, in all."""
    streamed = 0
    for seed in range(1000 + 20 * block, 1020 + 20 * block):
        streamed += in_little_memory(seed, tmp_path / str(seed))
    assert streamed >= 8


def in_little_memory(seed: int, folder: Path) -> bool:
    """Whether the network had weights in L3."""
    model, rng = Random(seed).eval(), np.random.default_rng(seed)
    q = quantized(
        torch.export.export(model, (torch.zeros(model.shape),)), windows(model.shape, seed, 2)
    )
    whole = make_plan(q, find_chip("gap9"))
    l1 = int(rng.choice([128, 64, 32, 20])) * 1024
    budget = replace(
        find_chip("gap9"), l1_bytes=l1, l2_bytes=budget_of(whole, rng), l2_reserved_bytes=0
    )
    try:
        plan = make_plan(q, budget)
    except MyoedgeError as error:
        if error.code != "E301":
            raise
        plan = whole
    (name,) = q.graph.inputs
    x = rng.integers(-128, 128, q.graph.shape(name), np.int8)
    values = run_int(q.steps, q.constants, {name: x})
    wanted = [values[n].tobytes() for n in q.graph.outputs]
    sources = make_sources(plan, "random")
    specs = [(q.graph.shape(n), q.dtype(n)) for n in q.graph.outputs]
    l3 = plan.image("l3") if plan.transfers else None
    files = FirmwareFiles([[x]], specs, len(plan.steps), plan.image_files)
    measured, _ = run_firmware(make_firmware(sources).program, files)
    assert [y.tobytes() for y in measured.inferences[0].outputs] == wanted, seed
    if seed % 4 == 0:
        assert on_host(sources.files, [x], specs, l3, folder) == wanted, seed
    return bool(plan.transfers)


def test_code_that_l2_has_no_room_for_makes_another_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing reserved for code, weights fill L2; then some of them lie in L3."""
    gap9 = replace(find_chip("gap9"), l2_reserved_bytes=0)
    monkeypatch.setitem(CHIPS, "gap9", gap9)
    width = 1_250
    assert gap9.l2_bytes - 12 * 1024 < width**2 < gap9.l2_bytes  # less than any code is left
    network = nn.Linear(width, width, bias=False)
    model = save_exported(network, (torch.zeros(1, width),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((2, 1, width), np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    assert build.report["memory"]["l3_bytes"] > 0
    assert (build.folder / "firmware.elf").exists()


class OfItself(nn.Module):
    """Queries, keys and values are one tensor, beside others that take room."""

    def forward(self, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_two_operands_of_a_layer_are_one_map_in_l3(tmp_path: Path) -> None:
    """Each has a window of its own in L2."""
    shape = (1, 1, 800, 16)
    examples = tuple(torch.zeros(shape) for _ in range(3))
    model = save_exported(OfItself().eval(), examples, tmp_path / "model.pt2")
    rng = np.random.default_rng(0)
    calib = {name: rng.standard_normal((2, *shape)).astype(np.float32) for name in "abx"}
    options = {"calib": calib, "target": "gap9", "output": tmp_path / "build"}
    build = myoedge.build(model, l2="55KiB", **options)
    plan = json.loads((build.folder / "plan.json").read_text())
    windows = [x["name"] for x in plan["buffers"] if " from L3" in x["name"]]
    assert len(windows) == len({*windows})
    by_step = [name.rsplit(",", 1)[0] for name in windows]
    assert len(by_step) > len({*by_step}), "no layer reads a map twice"
    assert myoedge.simulate(build).exact
    (unread,) = (row for row in build.report["warnings"] if row["code"] == "W109")
    assert unread["title"] == "nothing in the network reads a, b"


def test_code_may_grow_from_plan_to_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perceptrons in 90 and 96 KiB of L2 needed four plans, in 91 KiB two."""
    torch.manual_seed(0)
    model = save_exported(nn.Linear(16, 4).eval(), (torch.zeros(1, 16),), tmp_path / "model.pt2")
    calib = np.random.default_rng(1).standard_normal((24, 16), np.float32)
    check_linked, sizes = confirm.check_linked, iter([20_000, 21_000, 22_000, 23_000])

    def grown(limits: Budget, plan: Plan, report: Mapping[str, Any]) -> None:
        for size in sizes:
            raise CodeOverBudget(1, plan, size)
        check_linked(limits, plan, report)

    monkeypatch.setattr(confirm, "check_linked", grown)
    monkeypatch.delattr(confirm, "advised")  # no remedy is searched
    limit = {"l2": "64KiB", "simulate": False}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", **limit)
    assert build.report["memory"]["l2_peak_bytes"] <= 65_536
    assert next(sizes, None) is None
