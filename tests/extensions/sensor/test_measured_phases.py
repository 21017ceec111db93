# SPDX-License-Identifier: Apache-2.0
"""Phases of an application that a power meter measures, and what a calibration makes of them."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import Build, load_build
from myoedge.building.build_files import with_digest
from myoedge.building.energy import coefficients
from myoedge.building.energy_calibration import HEADER
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards.measured_power import ExpectedPasses, phases_of
from myoedge.extensions.boards.meter import PowerTrace
from myoedge.extensions.sensor.playback import Played
from myoedge.extensions.sensor.simulated_run import pass_cycles
from myoedge.numerics.arrays import Array
from myoedge.power.model import PUBLISHED, energy
from myoedge.power.states import StatePower
from myoedge.reports.energy import activity, played_states
from myoedge.system.folder import to_json
from myoedge.targets import DEFAULT
from tests.conftest import Ran
from tests.conftest import myoedge as command
from tests.extensions.boards.peers import Peer, at_the_line
from tests.extensions.boards.test_meter import pad_words, ppk2
from tests.extensions.sensor import applications

POINT, SUPPLY_V, RATE_HZ = "120/10 MHz", 1.8, 1e5
# Coefficients of a board that is made up, within the priors.
BOARD = replace(PUBLISHED, values=(3.0, 42.0, 2.9, 600.0, 150.0, 20.0), workload=0.0, board=0.0)


@pytest.fixture(scope="module")
def unplayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return applications.shared(tmp_path_factory, f"windows at {POINT}").folder


@pytest.fixture(scope="module")
def build(unplayed: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    return load_build(copytree(unplayed, tmp_path_factory.mktemp("phases") / "out"))


@pytest.fixture(scope="module")
def played(build: Build) -> Played:
    myoedge.simulate(build)
    return myoedge.play(build, applications.MYO, seconds=1)


def power_by(build: Build, values: tuple[float, ...]) -> StatePower:
    states = played_states(load_build(build.folder).report)
    assert states is not None
    return states.power(DEFAULT.at(POINT).point, replace(BOARD, values=values))


def test_the_meter_separates_passes_from_the_time_between() -> None:
    """A pass that began before the record, or ends after it, counts for the average only."""
    high = np.array([1] * 5 + [0] * 20 + [1] * 10 + [0] * 30 + [1] * 14 + [0] * 16 + [1] * 5, bool)
    amps = np.where(high, 3.0, 1.0)
    amps[:5] = amps[-5:] = 9.0
    found = phases_of(PowerTrace(amps, high, 10.0), 2.0, "a,b", "low", ExpectedPasses(1.2, 4.0))
    assert (found.passes.inferences, found.passes.watts) == (2, pytest.approx(6.0))
    assert found.passes.joules == pytest.approx(6.0 * 1.2)
    assert (found.between_w, found.seconds) == (pytest.approx(2.0), pytest.approx(10.0))
    assert found.watts == pytest.approx(2 * (90 + 66 + 72) / 100)
    assert found.rows == ('"a,b",low,7.2e+06,,,pass', '"a,b",low,,2000,,between')
    gated = ExpectedPasses(1.2, 4.0, are_whole=False)
    (row,) = phases_of(PowerTrace(amps, high, 10.0), 2.0, "idle", "low", gated).rows
    assert row == "./idle,low,,2000,,between"
    for other in [(9.0, 4.0), (0.1, 4.0), (1.2, 50.0), (1.2, 0.5)]:
        with pytest.raises(MyoedgeError) as raised:
            phases_of(PowerTrace(amps, high, 10.0), 2.0, "a", "low", ExpectedPasses(*other))
        assert raised.value.code == "E614"


PERIOD, PASS = 4000, 49  # samples


def pad_of(passes: int, at_rest: bool) -> list[int]:
    """The pad of a build's passes, up to 6 samples early or late; every third period and ten in a
    row have none, with a gate."""
    rng = np.random.default_rng(passes)
    high = np.zeros((passes + 1) * PERIOD, int)
    for number in range(passes):
        if not (at_rest and (number % 3 == 0 or 10 <= number < 20)):
            start = number * PERIOD + 500 + int(rng.integers(-6, 7))
            high[start : start + PASS] = 1
    return [int(x) for x in high]


@pytest.mark.parametrize("passes", [6, 60, 3_000])
@pytest.mark.parametrize("at_rest", [False, True])
def test_lost_samples_are_seen_in_records_of_any_length(passes: int, at_rest: bool) -> None:
    """64 of them, or multiples, between two passes and in one; PPK2's numbers of the samples do not
    show them. A front end that is 2 % fast loses none."""
    expected = ExpectedPasses(PASS / RATE_HZ, PERIOD / RATE_HZ, are_whole=not at_rest)
    pad = np.array(pad_of(passes, at_rest), bool)

    def measured(high: Array, nominal: ExpectedPasses = expected) -> None:
        trace = PowerTrace(np.ones(len(high)), high, RATE_HZ, unseen=64)
        phases_of(trace, SUPPLY_V, "a", "low", nominal)

    with pytest.raises(MyoedgeError, match="too few passes"):
        measured(pad[: 3 * PERIOD])
    measured(pad)
    measured(pad, replace(expected, period_s=1.02 * expected.period_s))
    *_, second, last = np.flatnonzero(np.diff(pad.astype(int)) == 1)
    for start in (second + PASS + 100, last - 700, second + 10):
        for lost in (64, 128, 640, PERIOD - 64) if start < last - 700 else (64, 640):
            if start + lost < last or start == second + 10:
                with pytest.raises(MyoedgeError) as raised:
                    measured(np.delete(pad, np.s_[start : start + lost]))
                assert raised.value.code == "E614"


@pytest.mark.parametrize("clock", [0.98, 0.998, 0.999, 1.0, 1.001, 1.002, 1.02])
@pytest.mark.parametrize(("burst", "pause"), [(2, 30), (2, 250), (5, 12), (20, 200), (1, 40)])
def test_bursts_of_passes_with_long_rests_lose_nothing(
    clock: float, burst: int, pause: int
) -> None:
    """Rests of many periods of a front end whose clock is not quite the build's; passes start a
    sample early or late. Samples lost in a burst are seen."""
    rng = np.random.default_rng(burst * pause)
    numbers = [n for n in range(1_500) if n % (burst + pause) < burst]
    starts = [round(n * PERIOD * clock) + 500 + int(rng.integers(-1, 2)) for n in numbers]
    high = np.zeros(1_600 * PERIOD, bool)
    for start in starts:
        high[start : start + PASS] = True
    expected = ExpectedPasses(PASS / RATE_HZ, PERIOD / RATE_HZ, are_whole=False)

    def measured(pad: Array) -> None:
        phases_of(PowerTrace(np.ones(len(pad)), pad, RATE_HZ, 64), SUPPLY_V, "a", "low", expected)

    measured(high)
    if burst > 1:
        in_burst = starts[burst] + PASS + 100
        with pytest.raises(MyoedgeError, match="lost samples"):
            measured(np.delete(high, np.s_[in_burst : in_burst + 64]))


@pytest.mark.parametrize("high", [[0] * 9, [1] * 9, [1, 1, 0, 0, 0, 0, 0, 1, 1]])
def test_no_complete_pass(high: list[int]) -> None:
    trace = PowerTrace(np.ones(9), np.array(high, bool), 10.0)
    with pytest.raises(MyoedgeError) as raised:
        phases_of(trace, 2.0, "a", "low", ExpectedPasses(1.0, 4.0))
    assert raised.value.code == "E614"


def test_between_passes_is_all_but_the_cluster_computing(build: Build, played: Played) -> None:
    """Energies of the states add up, at both clocks, with any coefficients."""
    states = played_states(load_build(build.folder).report)
    assert states is not None
    point = DEFAULT.at(POINT).point
    spans = states.between_passes(point)
    clocks = {round(at.clock_hz / 1e6) for done, at in spans if done.cycles}
    assert clocks == {120, 10}
    for n in range(len(BOARD.values)):
        values = tuple(float(n == k) for k in range(len(BOARD.values)))
        by_state = power_by(build, values).states_j
        rest_j = sum(by_state.values()) - by_state["run"]
        found_j = sum(energy(*span, replace(BOARD, values=values)).joules for span in spans)
        assert found_j == pytest.approx(rest_j, rel=1e-12)


def test_a_calibration_finds_the_board_of_the_phases(
    build: Build, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a board that is made up give that board's average power."""
    monkeypatch.setenv("MYOEDGE_ENERGY", str(tmp_path / "energy.json"))
    report = load_build(build.folder).report
    truth, counters = power_by(build, BOARD.values), activity(report)
    # the pad is high from the cluster's start to its end: a sixth longer than the network alone
    passes = len(pass_cycles(played.run))
    pass_j = truth.states_j["run"] / passes
    assert pass_j > 1.01 * energy(counters, DEFAULT.at(POINT).point, BOARD).joules
    rest_j = sum(truth.states_j.values()) - truth.states_j["run"]
    rest_w = rest_j / (truth.seconds - truth.states_s["run"])
    rows = [f"{build.folder},{POINT},{1e6 * pass_j},,1,pass"]
    rows += [f"{build.folder},{POINT},,{1e3 * rest_w},1,between"]
    (tmp_path / "rows.csv").write_text("\n".join([HEADER, *rows]))
    found = myoedge.calibrate_energy(tmp_path / "rows.csv")
    of_pass, between = found.residuals
    assert (of_pass.measured.idles, between.measured.idles) == (False, True)
    assert abs(between.relative) < 0.02
    assert of_pass.measured.seconds == pytest.approx(truth.states_s["run"] / passes)
    assert not of_pass.is_outside
    states = played_states(report)
    assert states is not None
    value, low, high = states.power(DEFAULT.at(POINT).point, coefficients()).power_w
    assert value == pytest.approx(truth.power_w[0], rel=0.02)
    assert 0.85 * value < low < truth.power_w[0] < high < 1.15 * value


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.0, 5.0])
def test_what_a_report_shows_of_a_measured_pass_contains_it(
    build: Build, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """A pass of the playback is measured, and the report's inference is the network alone."""
    monkeypatch.setenv("MYOEDGE_ENERGY", str(tmp_path / "energy.json"))
    shown = myoedge.energy(build)["energy_uj"]
    measured_uj = factor * shown["value"]
    row = f"{build.folder},{POINT},{measured_uj},,,pass"
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{row}\n")
    myoedge.calibrate_energy(tmp_path / "rows.csv")
    found = myoedge.energy(build)["energy_uj"]
    assert found["low"] <= measured_uj <= found["high"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{},120/10 MHz,,4,,later", "phase is pass or between"),
        ("idle,120/10 MHz,,4,,between", "phase is pass or between"),
        ("{},120/10 MHz,4,,,between", "power_mw"),
        ("{},10 MHz,,4,,between", "is built for the operating point 120/10 MHz"),
        ("{},120/10 MHz,,900,,between", "166 at most"),
        ("{0},120/10 MHz,,9,,between\n{0},120/10 MHz,,4,,pass", "line 2 is no measurement"),
        ("idle,10 MHz,,4,,\n{},120/10 MHz,,2,,between", "line 2 is no measurement"),
        ("{0},120/10 MHz,,4,,between\n{0}/../out,120/10 MHz,,9,,between", "line 3 is no"),
        ("{0},120/10 MHz,,4,,pass\n{0}/../out,120/10 MHz,,9,,between", "line 3 is no"),
    ],
)
def test_rows_of_phases_that_cannot_be(
    build: Build, played: Played, tmp_path: Path, row: str, says: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"{HEADER}\n{row.format(build.folder)}\n")
    with pytest.raises(MyoedgeError) as raised:
        myoedge.calibrate_energy(file)
    assert says in str(raised.value)


@pytest.mark.parametrize("here", [".", "below"])
def test_a_remedy_works_in_the_current_folder(
    unplayed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str
) -> None:
    """Of a build named relative to the file, wherever the user is."""
    copytree(unplayed, tmp_path / "builds" / "out")
    rows = tmp_path / "builds" / "rows.csv"
    rows.write_text(f"{HEADER}\nout,{POINT},,4,,between\n")
    (tmp_path / "below").mkdir()
    cwd = tmp_path / here
    file = os.path.relpath(rows, cwd)
    monkeypatch.setenv("MYOEDGE_ENERGY", str(tmp_path / "energy.json"))
    refused = command("energy", "calibrate", file, "--json", cwd=cwd)
    assert refused.json["error"]["code"] == "E250"
    (remedy,) = refused.json["error"]["tries"]
    name, *words = shlex.split(remedy.replace("RECORDING.npz", str(applications.MYO)))
    assert name == "myoedge"
    assert command(*words, "--seconds", "1", cwd=cwd).code == 0, remedy
    assert command("energy", "calibrate", file, cwd=cwd).code == 0


def test_time_between_passes_of_a_build_without_an_application(
    small_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy is a row that the fit reads."""
    monkeypatch.setenv("MYOEDGE_ENERGY", str(tmp_path / "energy.json"))
    file = tmp_path / "rows.csv"
    file.write_text(f"{HEADER}\n{small_build},10 MHz,,3.7,,between\n")
    with pytest.raises(MyoedgeError, match="has no application with phases") as raised:
        myoedge.calibrate_energy(file)
    assert raised.value.code == "E250"
    (remedy,) = raised.value.notice.tries
    assert remedy.startswith("idle in place of the build, without between")
    file.write_text(f"{HEADER}\nidle,10 MHz,,3.7,,\n")
    assert myoedge.calibrate_energy(file).residuals[0].measured.idles


def test_time_between_passes_needs_a_playback(unplayed: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{unplayed},{POINT},,4,,between\n")
    with pytest.raises(MyoedgeError) as raised:
        myoedge.calibrate_energy(tmp_path / "rows.csv")
    remedy = f"myoedge simulate {shlex.quote(str(unplayed))} --play RECORDING.npz"
    assert raised.value.notice.tries == (remedy,)


def test_bench_of_phases(build: Build, played: Played, tmp_path: Path) -> None:
    period = round(build.report["period"]["seconds"] * RATE_HZ)
    pads = {high: ([0] * (period - high) + [1] * high) * (20_000 // period) for high in (1, 5, 60)}
    peers = {high: ppk2(pad_words([*pad, *[0] * 99])) for high, pad in pads.items()}
    ran = bench_phases(build, peers[5], "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["passes"]["inferences"] == 20_000 // period
    shown = bench_phases(build, peers[5], cwd=tmp_path)
    figures, rows = shown.out.split("rows.csv\n", 1)
    assert f"passes    {20_000 // period} in" in figures
    assert rows.splitlines() == [HEADER, *ran.json["rows"]]
    for high in (1, 60):  # a glitch, and ten times a pass
        assert "E614" in bench_phases(build, peers[high], cwd=tmp_path).err
    lossy = bench_phases(
        build, ppk2(pad_words([*pads[5], *[0] * 99], 64, period + 9)), cwd=tmp_path
    )
    assert (lossy.code, "lost samples" in lossy.err) == (6, True)


def test_a_gate_is_one_even_if_the_calibration_windows_never_rest(
    build: Build, played: Played, tmp_path: Path
) -> None:
    """Its passes may be parts of the network, so that their energy is in no row."""
    folder = copytree(build.folder, tmp_path / "gated")
    report = load_build(folder).report
    assert (report["period"]["rest_share"], report["period"]["rest_layers"]) == (0.0, 0)
    gated = with_digest({**report, "wake": {"threshold": 1}})
    (folder / "report.json").write_text(to_json(gated))
    period = round(report["period"]["seconds"] * RATE_HZ)
    pad = ([0] * (period - 5) + [1] * 5) * (20_000 // period) + [0] * 99
    phases = {}
    for one in (build, load_build(folder)):
        ran = bench_phases(one, ppk2(pad_words(pad)), "--json", cwd=tmp_path)
        assert ran.code == 0, ran.err
        phases[one.folder] = [row.rpartition(",")[2] for row in ran.json["rows"]]
    assert phases == {build.folder: ["pass", "between"], folder: ["between"]}


def bench_phases(build: Build, peer: Peer, *more: str, cwd: Path) -> Ran:
    with at_the_line(peer) as at:
        return command("bench", build.folder, "--meter", at, "--phases", "0.19", *more, cwd=cwd)
