# SPDX-License-Identifier: Apache-2.0
"""From a trained network to firmware that runs on the simulated chip, and on GVSoC at hand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import myoedge
from myoedge.backends import gvsoc
from myoedge.backends.inputs import integers
from myoedge.building.build_files import with_digest
from myoedge.cli import progress
from myoedge.errors import MyoedgeError
from myoedge.operators.interpreter import run_int
from myoedge.simulator import machine
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.conftest import Ran, started
from tests.conftest import myoedge as command


@pytest.fixture(scope="module")
def built(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chip") / "out"
    ran = command("build", "model.pt2", "--calib", "calib.npz", "-o", folder, cwd=small)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


def in_integers(build: myoedge.Build, window: np.ndarray) -> list[np.ndarray]:
    graph = build.network.graph
    shapes = {name: graph.shape(name) for name in graph.inputs}
    return integers(build.network, {build.network.graph.inputs[0]: window}, shapes, raw=False)


def reference(build: myoedge.Build, windows: np.ndarray) -> list[np.ndarray]:
    """What the network gives in integers, by the NumPy interpreter."""
    q = build.network
    name = q.graph.inputs[0]
    found = []
    for window in windows:
        sample = {name: in_integers(build, window)[0]}
        found.append(run_int(q.steps, q.constants, sample)[q.graph.outputs[0]])
    return found


def test_every_layer_is_exact_on_the_simulated_chip(folder: Path, tmp_path: Path) -> None:
    ran = command("validate", folder, "--on", "host,simulator", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["difference"]) == (0, None), ran.err
    assert ran.json["samples"] == {"host": 9, "simulator": 3}
    exact = json.loads((folder / "report.json").read_text())["exact"]
    assert exact == {"host": True, "simulator": True, "gvsoc": None, "board": None}


def test_simulate_says_what_each_layer_costs(folder: Path, tmp_path: Path) -> None:
    manifest = (folder / "manifest.json").read_bytes()
    ran = command("simulate", folder, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["exact"]) == (0, True), ran.err
    layers, cycles = ran.json["layers"], ran.json["cycles"]
    assert sum(row["cycles"] for row in layers) == pytest.approx(cycles["total"], rel=0.01)
    assert all(row["cycles"] > 0 for row in layers)
    assert ran.json["latency_s"] == cycles["total"] / 370_000_000
    report = json.loads((folder / "report.json").read_text())
    assert report["cycles"] == cycles
    assert report["cycles"]["source"] == "simulated"
    assert (folder / "manifest.json").read_bytes() == manifest


def test_long_runs_show_how_far_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cycle, again and again; slices and pauses are short here, as the network is."""
    monkeypatch.setattr(machine, "SLICE_CYCLES", 5_000)
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0.0)
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)
    cycles: list[int] = []
    myoedge.simulate(folder, progress=lambda cycle, _: cycles.append(cycle))
    assert len(cycles) > 3
    assert cycles == sorted({*cycles})
    said: list[str] = []
    terminal = cast(Any, SimpleNamespace(progress=said.append, level=0, color=False))
    with progress.stage_progress(terminal, "simulate"):
        myoedge.simulate(folder)
    assert len(said) >= len(cycles)
    assert all(
        re.fullmatch(r"  simulate: \d+ of \d+ M cycles(, about \d+ s more)?", line) for line in said
    )


def test_the_table_for_people(folder: Path, tmp_path: Path) -> None:
    ran = command("simulate", folder, cwd=tmp_path)
    for word in ("layer", "MACs", "cycles", "MAC/cycle", "total", "equal to the reference"):
        assert word in ran.out


def test_another_operating_point_has_the_same_cycles(folder: Path, tmp_path: Path) -> None:
    high, low = (
        command("simulate", folder, "--operating-point", point, "--json", cwd=tmp_path).json
        for point in ("high", "low")
    )
    assert high["cycles"]["total"] == low["cycles"]["total"]
    assert low["latency_s"] / high["latency_s"] == pytest.approx(370 / 240)


def test_the_hundredth_inference_is_as_the_first(folder: Path) -> None:
    build = myoedge.load_build(folder)
    window = next(iter(build.golden_inputs.values()))
    other = np.asarray(window)[..., ::-1].copy()
    found = myoedge.simulate(build, input=np.stack([window, other] * 50))
    assert found.exact
    outputs = [run.outputs[0] for run in found.measurement.inferences]
    wanted = reference(build, np.stack([window, other]))
    assert len(outputs) == 100
    for index, got in enumerate(outputs):
        np.testing.assert_array_equal(got, wanted[index % 2])


def test_only_the_instruction_caches_make_inferences_take_different_times(folder: Path) -> None:
    """Their victims are drawn; where all code fits, all inferences take the same in the end.

    The first fetches the network's code, the second what the fabric controller does in between.
    """
    build = myoedge.load_build(folder)
    window = next(iter(build.golden_inputs.values()))
    inputs = [in_integers(build, window)] * 20
    roomy = ("l0_sets", "l0_master_sets", "l1_cache_sets", "fc_cache_sets")
    measured, _ = build.simulate(inputs, cycles={**GAP9_CYCLES, **dict.fromkeys(roomy, 4096)})
    first, _, *others = (inference.cycles for inference in measured.inferences)
    assert len(set(others)) == 1
    assert others[0] < first


def test_a_batch_from_a_file(folder: Path, small: Path, tmp_path: Path) -> None:
    ran = command("simulate", folder, "--input", small / "calib.npz", "--json", cwd=tmp_path)
    build = myoedge.load_build(folder)
    with np.load(small / "calib.npz") as calib:
        windows = calib[calib.files[0]]
    assert ran.code == 0, ran.err
    assert len(ran.json["outputs"]) == len(windows)
    for got, wanted in zip(ran.json["outputs"], reference(build, windows), strict=True):
        np.testing.assert_array_equal(np.array(got[0]), wanted)


def test_two_runs_are_the_same(folder: Path) -> None:
    first, second = (myoedge.simulate(folder) for _ in range(2))
    assert first.measurement.inferences[0].layers == second.measurement.inferences[0].layers
    assert first.run is not None
    assert second.run is not None
    assert first.run.counts == second.run.counts


def test_a_terminal_without_a_micro_sign_shows_a_u(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = started("simulate", folder, cwd=tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0
    assert [line[:5] for line in err.splitlines()] == ["next:", "     "]
    assert re.search(r"latency +[\d.]+ [um]s at 0\.80 V, 370 MHz; [\d.]+ [um]s at", out)


def test_a_trace_for_perfetto(folder: Path, tmp_path: Path) -> None:
    ran = command("simulate", folder, "--trace", cwd=tmp_path)
    assert ran.code == 0, ran.err
    trace = json.loads((folder / "trace.json").read_text())
    tracks = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert {"core 0", "core 8"} <= tracks
    moved = [e["name"] for e in trace["traceEvents"] if e["name"].startswith("dma ")]
    assert moved
    assert all(re.fullmatch(r"dma (in|out): \w+ of .+", name) for name in moved)
    counters = {e["name"] for e in trace["traceEvents"] if e["ph"] == "C"}
    assert counters == {"L1", "power", "MAC/cycle"}
    assert f"trace: {folder / 'trace.json'}" in ran.err
    (folder / "trace.json").unlink()
    ran = command("simulate", folder, "--trace", "--like", "public-gvsoc", cwd=tmp_path)
    assert (ran.code, (folder / "trace.json").is_file()) == (0, True)


def test_a_profile_and_a_window_of_a_build(folder: Path, tmp_path: Path) -> None:
    ran = command("simulate", folder, "--profile", "--window", "20000:20010", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert re.search(r"^ +[\d,]+ +\d+\.\d %  me_\w+$", ran.out, re.MULTILINE)
    steps = [line.split() for line in ran.out.splitlines() if " core " in line]
    assert steps
    assert {int(row[0]) for row in steps} <= {*range(20_000, 20_010)}
    found = myoedge.simulate(folder, profile=True)
    assert found.run is not None
    assert found.exact
    assert sum(found.run.profile.values()) > found.report["cycles"]["total"], "of all cores"


@pytest.mark.parametrize("verb", ["validate", "simulate"])
def test_the_newest_build_is_taken_and_named(verb: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "build" / "newest")
    ran = command(verb, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert f"newest build: {Path('build', 'newest')}" in ran.err
    assert "newest build" not in command(verb, folder, cwd=tmp_path).err


def test_what_a_run_gives_is_short_in_an_interpreter(folder: Path) -> None:
    assert repr(myoedge.simulate(folder)) == "Simulated(exact=True)"


def test_public_gvsoc_costs_are_not_put_into_the_report(folder: Path, tmp_path: Path) -> None:
    before = (folder / "report.json").read_bytes()
    ran = command("simulate", folder, "--like", "public-gvsoc", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["exact"]) == (0, True)
    assert (folder / "report.json").read_bytes() == before


def test_firmware_that_was_changed_is_refused(folder: Path, tmp_path: Path) -> None:
    firmware = folder / "firmware.elf"
    firmware.write_bytes(firmware.read_bytes()[:-1] + b"!")
    ran = command("simulate", folder, cwd=tmp_path)
    assert ran.code == 2
    assert "E222" in ran.err


def test_a_report_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    report["model"]["digest"] = "0" * 64
    (folder / "report.json").write_text(json.dumps(with_digest(report)))
    before = (folder / "report.json").read_bytes()
    for verb in ("simulate", "validate", "report"):
        ran = command(verb, folder, cwd=tmp_path)
        assert (ran.code, "E222" in ran.err) == (2, True), ran.err
    assert (folder / "report.json").read_bytes() == before


def test_a_build_that_takes_its_place_meanwhile_keeps_its_own_report(folder: Path) -> None:
    before = (folder / "report.json").read_bytes()

    def rebuild(*_: object) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["calibration"]["samples"] += 1
        (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(MyoedgeError, match="another build has replaced it"):
        myoedge.validate(folder, say=rebuild)
    with pytest.raises(MyoedgeError, match="another build has replaced it"):
        myoedge.simulate(folder, progress=rebuild)
    assert (folder / "report.json").read_bytes() == before


def test_validate_keeps_what_another_run_found_meanwhile(folder: Path) -> None:
    def say(_: str) -> None:
        report = json.loads((folder / "report.json").read_text())
        report["exact"]["simulator"] = True
        (folder / "report.json").write_text(json.dumps(with_digest(report)))

    assert myoedge.validate(folder, say=say).exact["simulator"]
    assert json.loads((folder / "report.json").read_text())["exact"]["simulator"]


def test_a_build_for_hosts_has_no_firmware(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "host"
    arguments = ("build", "model.pt2", "--calib", "calib.npz", "--target", "host", "-o", folder)
    assert command(*arguments, cwd=small).code == 0
    ran = command("simulate", folder, cwd=tmp_path)
    assert ran.code == 2
    assert "E240" in ran.err
    assert "--target gap9" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--on", "fpga"), "E204"),
        *((("--on", "gvsoc", option), "E204") for option in ("--trace", "--profile")),
        (("--like", "gap8"), "E204"),
        (("--operating-point", "turbo"), "E204"),
    ],
)
def test_choices_that_there_are_not(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    ran = command("simulate", folder, *arguments, cwd=tmp_path)
    assert ran.code == 2
    assert says in ran.err


def has_gvsoc(layers_on_ne16: Sequence[str] = ()) -> str:
    """Why GVSoC cannot run a build with these layers on NE16, or nothing."""
    try:
        gvsoc.find()
        gvsoc.require_engines([(name, "ne16") for name in layers_on_ne16])
    except MyoedgeError as error:
        return str(error)
    return ""


def test_gvsoc_has_a_first_core_of_its_own(folder: Path, tmp_path: Path) -> None:
    ran = command("simulate", folder, "--on", "gvsoc", "--fc-hart", "9", cwd=tmp_path)
    assert (ran.code, "E204" in ran.err) == (2, True), ran.err


@pytest.mark.skipif(bool(has_gvsoc()), reason="GVSoC is not here: set GVSOC_HOME to judge by it")
def test_gvsoc_agrees_to_the_bit_and_within_three_percent(folder: Path, tmp_path: Path) -> None:
    ran = command("validate", folder, "--on", "gvsoc", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["exact"]["gvsoc"]) == (0, True), ran.err
    judged = command("simulate", folder, "--on", "gvsoc", "--json", cwd=tmp_path).json
    ours = command("simulate", folder, "--like", "public-gvsoc", "--json", cwd=tmp_path).json
    assert ours["outputs"] == judged["outputs"]
    assert ours["cycles"]["total"] == pytest.approx(judged["cycles"]["total"], rel=0.03)


def test_without_gvsoc_it_is_a_missing_tool(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GVSOC_HOME", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    ran: Ran = command("simulate", folder, "--on", "gvsoc", cwd=tmp_path)
    assert ran.code == 5
    assert "GVSOC_HOME" in ran.err
