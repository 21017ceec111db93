# SPDX-License-Identifier: Apache-2.0
"""Sensor applications on the simulated chip: recordings played from electrode to packet."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import Flags, Start, Status
from myoedge.building.config import Found, from_tables
from myoedge.building.config_tables import Config
from myoedge.cli.simulate import OPTIONS, PLAYBACK
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.playback import play_step, playable_file, program_of
from myoedge.extensions.sensor.recording import recording_of
from myoedge.extensions.sensor.report import Latency
from myoedge.extensions.sensor.simulated_run import pass_cycles
from myoedge.simulator import Fault
from tests.conftest import Ran, save_exported, steps
from tests.conftest import myoedge as command
from tests.extensions.sensor import applications
from tests.extensions.sensor.applications import ARMBAND, MYO
from tests.support.warning_rules import applies


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return applications.shared(tmp_path_factory, "windows")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return applications.shared(tmp_path_factory, "stream")


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return applications.shared(tmp_path_factory, "chip")


def test_the_armband(windows: Build) -> None:
    played = myoedge.play(windows, MYO, seconds=10)
    assert (played.exact, played.frames, played.samples_lost) == (True, 2000, 0)
    assert [x.frame for x in played.decisions] == [*range(39, 2000, 8)]
    assert len({x.score for x in played.decisions}) > 1
    assert not any(x.flags for x in played.decisions)
    assert played.latency is not None
    assert played.latency.max_s < 0.002
    parts = played.latency.parts_s
    assert [*parts] == ["wait", "network", "packet"]
    assert sum(median for median, _ in parts.values()) == pytest.approx(
        played.latency.median_s, rel=0.02
    )
    start, *_ = played.records
    assert isinstance(start, Start)
    assert start.digest == windows.manifest["model"]["integer_digest"][:16]


@pytest.mark.parametrize("point", ["high", "40MHz"])
def test_weights_in_mram(tmp_path: Path, point: str) -> None:
    """Also after the cluster, with the queue of reads, was switched off."""
    tables = {"sensor": {**ARMBAND, "hop": 40}, "budget": {"l2": "100KiB"}}
    tables["quant"] = {"*": {"weights": 8}}
    build = applications.built(tmp_path, applications.Wide, 40, point, memory="mram=auto", **tables)
    assert len(build.images["mram.bin"]) > 50_000
    played = myoedge.play(build, MYO, seconds=3)
    assert (played.exact, played.frames, played.samples_lost) == (True, 600, 0)
    assert len(played.decisions) == 15
    assert not any(x.flags for x in played.decisions)


@applies("W605", "the unit, scale")
@pytest.mark.parametrize(
    ("factor", "says"), [(1.0, None), (30.0, "exceed"), (1e-3, "1 of the input's 256")]
)
def test_recordings_of_another_scale(
    chip: Build, tmp_path: Path, factor: float, says: str | None
) -> None:
    """Microvolts played as they are, too large, and in millivolts."""
    np.savez(tmp_path / "recording.npz", emg=factor * applications.emg()[:50])
    ran = simulated(chip, "--play", str(tmp_path / "recording.npz"))
    assert ran.code == 0
    assert ("W605" in ran.err) == (says is not None)
    assert (says or "") in ran.err


def test_every_command_that_is_printed_next_runs(windows: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "recording.npz", emg=applications.emg()[:200])
    ran, verbs = simulated(windows, "--play", str(tmp_path / "recording.npz")), list[str]()
    while next_lines := steps(ran.err):
        verb, *words = shlex.split(next_lines[0])[1:]
        ran = command(verb, *words, cwd=tmp_path)
        assert ran.code == 0, ran.err
        verbs.append(verb)
    assert verbs == ["simulate", "monitor", "monitor"]
    assert (tmp_path / "packets.npz").exists()


def test_what_is_played_next_is_the_calibration_recording(windows: Build, tmp_path: Path) -> None:
    cut = tmp_path / "cut.npz"
    np.savez(cut, input=applications.emg()[:400].reshape(10, 40, 8).transpose(0, 2, 1))
    given: dict[str, Any] = {"calib": str(MYO), "test": None, "config": Found(Config(), tmp_path)}
    assert playable_file(windows, given) == str(MYO)
    assert playable_file(windows, {**given, "calib": cut}) is None, "windows"
    assert playable_file(windows, {**given, "calib": "random", "test": str(MYO)}) == str(MYO)
    in_toml = Found(from_tables({"calib": {"data": str(MYO)}}, "myoedge.toml"), tmp_path)
    assert playable_file(windows, {**given, "calib": None, "config": in_toml}) == str(MYO)
    (step,) = play_step(windows, given)
    assert step.startswith(f"myoedge simulate {windows.folder} --play {MYO}")
    (comment,) = play_step(windows, {**given, "calib": cut})
    assert comment.startswith(f"# myoedge simulate {windows.folder} --play FILE")


def test_the_sensor_sets_the_period(windows: Build, stream: Build, tmp_path: Path) -> None:
    """A window starts every 8 samples, a pass every 4, both at 200 Hz; the chip never sleeps."""
    for build, period_s in ((windows, 8 / 200), (stream, 4 / 200)):
        folder = shutil.copytree(build.folder, tmp_path / str(period_s))
        assert build.report["duty"]["period_s"] == period_s
        ran = command("energy", folder, "--battery", "150", "--json", cwd=tmp_path)
        duty = ran.json["duty"]
        assert (duty["period_s"], duty["asleep_s"]) == (period_s, 0.0)
        assert duty["hours"][0] == pytest.approx(150 * 3.7 / duty["average_mw"][0])
        with pytest.raises(MyoedgeError, match="E232"):
            myoedge.energy(folder, every="1 s")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["windows", "stream"])
def test_the_armband_to_its_end(kind: str, request: pytest.FixtureRequest) -> None:
    played = myoedge.play(request.getfixturevalue(kind), MYO)
    assert (played.exact, played.frames, played.samples_lost) == (True, 12000, 0)


def test_a_stream_of_the_armband(stream: Build) -> None:
    played = myoedge.play(stream, MYO, seconds=5)
    assert (played.exact, played.samples_lost) == (True, 0)
    assert [x.frame for x in played.decisions] == [*range(1000)]
    firmware = [stream.push(frame[:, None]) for frame in applications.emg()[:100]]
    ready = np.concatenate([x for x in firmware if len(x)])
    assert [x.class_index for x in played.decisions][: len(ready)] == [*ready.argmax(-1).ravel()]


class Symbols(nn.Module):
    """Scores of every sample: [T, 1, 8] -> [T, 1, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(x)


def test_symbols_of_ctc(tmp_path: Path) -> None:
    """A packet has the new symbol of its frame, or no class."""
    torch.manual_seed(0)
    model = save_exported(Symbols().eval(), (torch.zeros(100, 1, 8),), tmp_path / "model.pt2")
    calib = applications.emg()[:1600].reshape(16, 100, 1, 8)
    tables = {"sensor": applications.ARMBAND, "stream": {"axis": 0, "frames": 4, "rate": 200}}
    build = myoedge.build(
        model,
        calib=calib,
        app="sensor",
        ctc=4,
        stream=True,
        config=Found(from_tables(tables, "myoedge.toml"), Path()),
        output=tmp_path / "out",
        simulate=False,
    )
    played = myoedge.play(build, MYO, seconds=2)
    assert (played.exact, len(played.decisions)) == (True, 400)
    found = [row.class_index for row in played.decisions]
    symbols = [build.push(row[None]) for row in applications.emg()[:400]]
    wanted = np.concatenate([x for x in symbols if len(x)]).ravel()
    assert found == [x if x >= 0 else None for x in wanted]
    assert {None, 0} < {*found} <= {None, 0, 1, 2, 3}


def test_an_ads1298(chip: Build) -> None:
    rng = np.random.default_rng(1)
    signal = rng.normal(0, 60, (1500, 8)) + 40 * np.sin(np.arange(1500) / 30)[:, None]
    played = myoedge.play(chip, signal)
    assert (played.exact, played.frames, played.samples_lost) == (True, 1500, 0)
    assert [x.frame for x in played.decisions] == [*range(39, 1500, 10)]
    assert isinstance(played.records[-1], Status) or len(played.records) > 140


@pytest.mark.parametrize("kind", ["missed", "reset", "stall", "hold"])
def test_faults(chip: Build, kind: str) -> None:
    signal = np.random.default_rng(2).normal(0, 60, (2000, 8))
    held_s = 0.16 if kind in ("stall", "hold") else 0.0
    value = round(held_s * program_of(chip).clock_hz)
    played = myoedge.play(chip, signal, faults=[Fault(600, kind, value)])
    assert not played.compared.wrong
    assert bool(played.samples_lost) == (kind in ("missed", "reset"))
    after = [x for x in played.decisions if x.frame > 600]
    assert after[0].frame < 1600
    assert after[-1].frame > 1980
    flags = Flags(0)
    for decision in played.decisions:
        flags |= decision.flags
    wanted = {"missed": Flags.SAMPLES_LOST, "reset": Flags.SAMPLES_LOST | Flags.FRONT_END_RESET}
    if kind in wanted:
        assert flags == wanted[kind]


def with_and_without(build: Build, *faults: Fault) -> tuple[Latency, Latency]:
    """Latencies of playbacks in which every decision is right and without a flag."""
    found = []
    for given in ((), faults):
        played = myoedge.play(build, MYO, seconds=2, faults=given)
        assert (played.exact, played.samples_lost) == (True, 0)
        assert not any(x.flags for x in played.decisions)
        assert played.latency is not None
        found.append(played.latency)
    return found[0], found[1]


def test_power_of_the_cluster_that_rises_late(windows: Build) -> None:
    rise_s = 0.012
    faults = (Fault(n, "rise", round(rise_s * program_of(windows).clock_hz)) for n in (100, 183))
    plain, found = with_and_without(windows, *faults)
    assert rise_s - 1e-3 < found.max_s - plain.max_s < rise_s
    assert found.median_s == pytest.approx(plain.median_s, rel=0.05)


def test_wake_ups_that_do_not_come(windows: Build) -> None:
    """The cluster's power then rises after a window's last sample, in 0.1 ms, in part of which the
    controller copies the window."""
    plain, found = with_and_without(windows, Fault(60, "wake", 1000))
    assert 4e-5 < found.median_s - plain.median_s < 1.5e-4


def test_wake_ups_that_do_not_come_during_a_reset(chip: Build) -> None:
    """Nothing else wakes the controller then: the timer does so again."""
    signal = np.random.default_rng(2).normal(0, 60, (2000, 8))
    found = myoedge.play(chip, signal, faults=[Fault(600, "reset"), Fault(600, "wake", 2)])
    assert not found.compared.wrong
    assert found.run.restarts == 0
    assert found.decisions[-1].frame > 1980


def test_a_run_without_a_pass_has_no_cycles_of_passes(windows: Build) -> None:
    run = myoedge.play(windows, MYO, seconds=0.3).run
    assert pass_cycles(run).shape == (3, 2)
    assert pass_cycles(replace(run, marks=())).shape == (0, 2)


# ---- the command


def simulated(build: Build, *arguments: str) -> Ran:
    return command("simulate", str(build.folder), *arguments, cwd=build.folder.parent)


def test_the_command(windows: Build) -> None:
    ran = simulated(windows, "--play", str(MYO), "--seconds", "1", "--json")
    assert ran.code == 0
    found = ran.json
    assert (found["exact"], found["frames"], found["samples_lost"]) == (True, 200, 0)
    assert found["decisions"] == len(range(39, 200, 8))
    assert 0 < found["latency_s"]["median"] <= found["latency_s"]["max"] < 0.002
    assert found["power_w"]["low"] <= found["power_w"]["value"] <= found["power_w"]["high"]
    shown = simulated(windows, "--play", str(MYO), "--seconds", "1")
    assert "equal to the reference" in shown.out
    assert "200 samples per second assumed" not in shown.out  # the file says it


def test_packets_are_saved_for_monitor(windows: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "silent.npz", emg=np.zeros((100, 8)))
    file = tmp_path / "line.bin"
    ran = simulated(windows, "--play", str(tmp_path / "silent.npz"), "--save", str(file))
    assert ran.code == 0
    assert "200 samples per second assumed" in ran.out
    assert f"monitor {file} --build {windows.folder}" in ran.err.replace("\n", "")
    found = command("monitor", file.name, "--json", cwd=tmp_path)  # /dev/... would be a port
    assert found.json["decisions"] == len(range(39, 100, 8))


OF_PLAYBACKS = [x.flag for x in OPTIONS if x.kinds == (PLAYBACK,) and x.flag != "--play"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        *(((flag, "1"), "needs --play") for flag in OF_PLAYBACKS),
        (("--play", str(MYO), "--input", str(MYO)), "--play FILE has the samples"),
        (("--play", str(MYO), "--trace"), "cannot be combined with --play"),
        (("--play", str(MYO), "--profile"), "cannot be combined with --play"),
    ],
)
def test_options_that_do_not_go_together(
    windows: Build, arguments: tuple[str, ...], says: str
) -> None:
    ran = simulated(windows, *arguments)
    assert (ran.code, says in ran.err) == (2, True)


NAN, NOT_A_RATE = np.full((60, 8), np.nan), np.float64("nan")


@pytest.mark.parametrize(
    ("arrays", "code", "says"),
    [
        ({"x": np.zeros((60, 7))}, "E266", "a recording of 8 channels"),
        ({"x": np.zeros((8, 60))}, "E266", "emg=x.T"),
        ({"x": np.zeros((2, 60, 8))}, "E266", "emg=x.reshape(-1, 8)"),
        ({"x": np.zeros(60)}, "E266", "[60]"),
        ({}, "E266", "no array"),
        ({"x": np.zeros((60, 8)), "y": np.zeros((60, 8))}, "E266", "x [60, 8], y [60, 8]"),
        ({"x": np.zeros((60, 8)), "y": np.zeros((60, 8))}, "E266", "emg=x)"),
        ({"x": np.zeros((60, 8)), "fs": 1000}, "E266", "fs = 1000"),
        ({"x": np.zeros((60, 8)), "fs": NOT_A_RATE}, "E266", "fs = nan"),
        ({"x": np.zeros((60, 8)), "fs": np.inf}, "E266", "fs = inf"),
        ({"x": np.zeros((60, 8)), "fs": "fast"}, "E266", "fs = fast"),
        ({"x": np.zeros((60, 8)), "fs": [1000, 1000]}, "E266", "fs = 1000"),
        ({"x": np.zeros((60, 8)), "fs": [200, 200, 1000]}, "E266", "fs = 200, 1000"),
        ({"x": np.zeros((60, 8)), "fs": [[200, np.nan]]}, "E266", "fs = 200 alone in the file"),
        ({"x": np.zeros((60, 8)), "fs": []}, "E266", "fs = empty"),
        ({"x": np.zeros((60, 8), np.complex64)}, "E266", "x complex64"),
        ({"x": np.zeros((0, 8))}, "E266", "40 samples for the first decision"),
        ({"x": NAN}, "E216", "60 of 60"),
    ],
)
def test_recordings_that_do_not_fit(
    windows: Build, tmp_path: Path, arrays: dict[str, Any], code: str, says: str
) -> None:
    np.savez(tmp_path / "recording.npz", **arrays)
    with pytest.raises(MyoedgeError) as raised:
        myoedge.play(windows, tmp_path / "recording.npz")
    assert raised.value.code == code
    assert says in str(raised.value)


@pytest.mark.parametrize("rates", [200, [200], [200.0, 200.0], [[200, 200]]])
def test_a_file_states_its_rate_once_or_more(windows: Build, tmp_path: Path, rates: object) -> None:
    np.savez(tmp_path / "stated.npz", x=np.zeros((60, 8)), fs=rates)
    np.savez(tmp_path / "not.npz", x=np.zeros((60, 8)))
    sensor = program_of(windows).sensor
    found = [recording_of(sensor, tmp_path / f"{name}.npz") for name in ("stated", "not")]
    assert [x.is_assumed for x in found] == [False, True]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("rate", ["199.9999", "1.1", "200"])
def test_a_rate_that_no_binary_fraction_is(
    windows: Build, tmp_path: Path, rate: str, kind: type[np.floating[Any]]
) -> None:
    sensor = replace(program_of(windows).sensor, rate_hz=Fraction(rate))
    np.savez(tmp_path / "r.npz", x=np.zeros((60, 8)), fs=kind(rate))
    assert not recording_of(sensor, tmp_path / "r.npz").is_assumed
    np.savez(tmp_path / "r.npz", x=np.zeros((60, 8)), fs=kind(rate) * kind(1.001))
    with pytest.raises(MyoedgeError, match=f"{rate} samples per second"):
        recording_of(sensor, tmp_path / "r.npz")


def test_signals_and_lengths_that_are_no_numbers(windows: Build) -> None:
    with pytest.raises(MyoedgeError, match="E216"):
        myoedge.play(windows, np.where(np.arange(60)[:, None] == 50, np.inf, np.zeros((60, 8))))
    lengths: tuple[Any, ...] = (float("nan"), float("inf"), -1.0, "1", [1], 1j)
    for seconds in lengths:
        with pytest.raises(MyoedgeError, match="E232"):
            myoedge.play(windows, np.zeros((60, 8)), seconds=seconds)


def test_the_description_in_the_build(windows: Build) -> None:
    assert json.loads(windows.written("sensor.json"))["schema"] == "myoedge.sensor/1"


@pytest.mark.parametrize(("kind", "needed"), [("windows", 40), ("stream", 4)])
def test_a_recording_that_ends_before_the_first_decision(
    kind: str, needed: int, request: pytest.FixtureRequest
) -> None:
    build, signal = request.getfixturevalue(kind), applications.emg()
    with pytest.raises(MyoedgeError, match="E266") as raised:
        myoedge.play(build, signal[: needed - 1])
    assert f"{needed} samples for the first decision" in str(raised.value)
    played = myoedge.play(build, signal[:needed])
    assert (played.exact, played.samples_lost, played.decisions[0].flags) == (True, 0, 0)


def test_a_build_without_the_application(tmp_path: Path) -> None:
    model = save_exported(nn.Linear(8, 2).eval(), (torch.zeros(1, 8),), tmp_path / "m.pt2")
    build = myoedge.build(model, calib="random", output=tmp_path / "out", simulate=False)
    with pytest.raises(MyoedgeError, match="E266") as raised:
        myoedge.play(build, np.zeros((10, 8)))
    assert "--app sensor" in str(raised.value)
