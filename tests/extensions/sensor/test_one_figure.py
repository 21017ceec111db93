# SPDX-License-Identifier: Apache-2.0
"""One average power of an application, wherever it is reported."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.backends.build import Build, load_build
from myoedge.extensions.sensor import playback
from myoedge.extensions.sensor.decisions import Compared
from myoedge.extensions.sweeps import advise
from myoedge.reports.budget import budget_lines
from myoedge.reports.duty_lines import duty_rows
from myoedge.reports.energy import with_range
from myoedge.reports.speed import duration
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.extensions.sensor import applications
from tests.extensions.sensor.applications import MADE, MYO

KINDS = ["windows", "stream"]
TOML = """[model]
path = "model.pt2"
[calib]
data = "calib.npz"
[sensor]
front_end = "spi"
bits = 8
header_bytes = 0
input_range = "1 V"
unit = "counts"
channels = 8
rate = 200
pins = {{ data_ready = 42 }}
{}
"""
OWN = {"windows": "hop = 8", "stream": "[stream]\naxis = 2\nframes = 4\nrate = 200"}


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build at 160 MHz whose arguments are known."""
    return built(tmp_path_factory.mktemp("one"), request.param, "160 MHz")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it, as playbacks change its report."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def built(place: Path, name: str, point: str, more: str = "") -> Path:
    kind, samples, _ = MADE[name]
    torch.manual_seed(0)
    example = (torch.zeros(1, 8, samples),)
    save_exported(kind(8).eval(), example, place / "model.pt2")
    rows = applications.emg()[: 16 * samples].reshape(16, samples, 8).transpose(0, 2, 1)
    np.savez(place / "calib.npz", input=np.ascontiguousarray(rows)[:, None])
    (place / "myoedge.toml").write_text(TOML.format(f"{OWN[name]}\n{more}"))
    words = (*(("--stream",) if name == "stream" else ()), "--operating-point", point)
    ran = command("build", *words, "--app", "sensor", "--simulate", "-o", "out", cwd=place)
    assert ran.code == 0, ran.err
    return place / "out"


def check_everywhere(build: Build, power: list[float]) -> None:
    """Check (value, low, high) in milliwatts, battery and other parts included.

    power   mW, as the playback or plan has it
    """
    folder, text = build.folder, with_range(power, "mW")
    assert build.report["duty"]["average_mw"] == pytest.approx(power)
    page = html.unescape((folder / "report.html").read_text(encoding="utf-8"))
    assert f"{text} with one every" in page.replace("\N{NO-BREAK SPACE}", " ")
    evidence = myoedge.evidence(folder, drawn=1)
    (row,) = [x for x in evidence.requirements if x.key == "POWER-1"]
    assert row.value.startswith(f"{text} with one every")
    if stream := build.report.get("stream"):
        (own,) = [x for x in stream["passes"] if x["frames"] == stream["pass_frames"]]
        assert own["average_mw"] == pytest.approx(power)
    said = myoedge.energy(folder)["duty"]["average_mw"]
    assert [*said] == pytest.approx(power)


def test_plan_and_playback_are_the_same_everywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advise, "variations", lambda *_: ())
    planned = load_build(folder).report["duty"]
    assert planned["source"] == "planned"
    check_everywhere(load_build(folder), planned["average_mw"])
    given = {"battery": 150, "others": "2 mW"}
    played = myoedge.play(folder, MYO, seconds=2, **given)
    power = [1e3 * watts for watts in played.power.power_w]
    check_everywhere(load_build(folder), power)
    advice = myoedge.advise(folder, jobs=1)
    assert advice.suggestions
    for suggestion in advice.suggestions:
        assert suggestion.old["average_mw"] == pytest.approx(power[0])
    (saving,) = [x for x in played.savings if "--operating-point" in x.setting]
    name = saving.setting.split('"')[1]
    (same,) = [x for x in advice.suggestions if x.title == f"operating point {name}"]
    assert same.new["average_mw"] == pytest.approx(1e3 * saving.power_w)
    myoedge.simulate(folder)
    check_everywhere(load_build(folder), power)


def test_two_clocks_are_the_same_everywhere(tmp_path: Path) -> None:
    """Clock by clock: the plan's times are those of the playback."""
    folder = built(tmp_path, "windows", "240/10 MHz")
    planned = load_build(folder).report["duty"]
    check_everywhere(load_build(folder), planned["average_mw"])
    assert [clock_hz for clock_hz, _ in planned["clocks_s"]] == [240_000_000, 10_000_000]
    played = myoedge.play(folder, MYO, seconds=2)
    check_everywhere(load_build(folder), [1e3 * watts for watts in played.power.power_w])
    duty = load_build(folder).report["duty"]
    assert duty["average_mw"][0] == pytest.approx(planned["average_mw"][0], rel=0.01)
    shares = [[seconds / duty["period_s"] for _, seconds in x["clocks_s"]] for x in (planned, duty)]
    assert shares[1] == pytest.approx(shares[0], abs=0.01)
    assert 0 < shares[1][0] < 0.02
    said = command("energy", "out", cwd=tmp_path)
    assert "10 MHz 100 % of the time, 240 MHz <1 %" in said.out
    page = (folder / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    for text in (said.out, page):
        assert "240 MHz, waiting at 10 MHz" in text
        assert not re.search("240 MHz(?!, waiting)(?! <1 %)", text), "the point without waiting"


def test_times_and_powers_are_of_the_plan_or_of_the_playback(tmp_path: Path) -> None:
    """Not some of the one and some of the other."""
    folder = built(tmp_path, "windows", "160 MHz")
    planned = dict(duty_rows(load_build(folder).report))
    assert planned["times"] == "planned: simulate --play counts them"
    played = myoedge.play(folder, MYO, seconds=2)
    rows = dict(duty_rows(load_build(folder).report))
    states_s = played.power.states_s
    busy = (states_s["run"] + states_s["control"]) / played.power.seconds
    assert rows["times"] == "counted in the last playback"
    card = card_of(folder)
    assert rows["average"].partition(" (")[0] in card
    assert rows["times"] in card
    assert "chip only: no front end, no radio" in card
    assert rows["duty cycle"] == f"{100 * busy:.3g} %" != planned["duty cycle"]
    myoedge.energy(folder, others="4 mW", battery="150 mAh")
    card = card_of(folder)
    assert "the chip, and 4 mW of all else" in card
    assert re.search(r"battery \d+", card)


def card_of(folder: Path) -> str:
    """The card of the application in report.html."""
    page = (folder / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    return html.unescape(page).partition("<h3>Application</h3>")[2].partition("<h3>")[0]


def check_decision(folder: Path, seconds: float, source: str) -> None:
    """Check the time of a decision, and what it is, wherever one is shown."""
    report, taken = load_build(folder).report, duration(seconds)
    assert report["decision_s"] == seconds
    assert f">{taken}<span>from a window's last sample to its decision, {source}<" in card_of(
        folder
    )
    ran = command("report", "out", cwd=folder.parent)
    assert f"of a decision {taken}, {source}" in " ".join(ran.out.split())
    (row,) = [x for x in myoedge.evidence(folder, drawn=1).requirements if x.key == "TIME-1"]
    assert row.value.startswith(f"{1e3 * seconds:.3f} ms, {source}; the network at most")
    assert (row.shown, row.text) == (True, "A decision is on the line within [budget] latency")
    assert f": a decision takes {taken}, {source}, at 0.65 V" in budget_lines(report)[0]


def test_the_time_of_a_decision_is_planned_or_played_everywhere(tmp_path: Path) -> None:
    """A playback's is its longest, which later runs keep."""
    folder = built(tmp_path, "windows", "160 MHz", '[budget]\nlatency = "5 ms"')
    planned_s = load_build(folder).report["decision_s"]
    check_decision(folder, planned_s, "planned")
    played = myoedge.play(folder, MYO, seconds=2)
    assert played.latency is not None
    latest_s = played.latency.max_s
    assert duration(latest_s) != duration(planned_s)
    for later in (lambda: None, lambda: myoedge.energy(folder), lambda: myoedge.simulate(folder)):
        later()
        check_decision(folder, latest_s, f"the longest of {len(played.decisions)} played decisions")
    assert played.to_json()["latency_s"]["max"] == latest_s


def test_few_decisions_are_no_evidence_and_wrong_ones_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 40 samples, each 8 samples after the last: 3 in 0.3 s."""
    folder = built(tmp_path, "windows", "160 MHz", '[budget]\nlatency = "5 ms"')
    planned_s = load_build(folder).report["decision_s"]
    myoedge.play(folder, MYO, seconds=0.3)
    (row,) = [x for x in myoedge.evidence(folder, drawn=1).requirements if x.key == "TIME-1"]
    assert row.value.startswith(f"{1e3 * planned_s:.3f} ms, planned, as 3 decisions were played")
    assert "30 are needed" in row.value
    assert row.evidence == "analysis: the plan of the build"
    kept = load_build(folder).report
    assert kept["played"]["decisions"] == 3
    monkeypatch.setattr(playback, "compared", lambda *_: Compared((), 1))
    wrong = myoedge.play(folder, MYO, seconds=1)
    assert "the reports of the build keep their figures" in wrong.lines()[-1]
    assert load_build(folder).report == kept


def test_advice_after_a_calibration_is_of_one_set_of_coefficients(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also of the playback, which was made with others."""
    monkeypatch.setattr(advise, "variations", lambda *_: ())
    myoedge.play(folder, MYO, seconds=2)
    before = load_build(folder).report["duty"]
    assert before["source"] == "played"
    monkeypatch.setenv("MYOEDGE_ENERGY", str(tmp_path / "energy.json"))
    rows = "build,operating_point,power_mw\nidle,10 MHz,1.1\nidle,low,2.3\n"
    (tmp_path / "rows.csv").write_text(rows)
    myoedge.calibrate_energy(tmp_path / "rows.csv")
    advice = myoedge.advise(folder, jobs=1)
    stored = load_build(folder).report
    assert stored["energy_uj"]["coefficients"] == "calibrated with 2 measurements"
    assert advice.suggestions or "stream" not in stored  # windows already take the least power
    for suggestion in advice.suggestions:
        assert suggestion.old["average_mw"] == pytest.approx(stored["duty"]["average_mw"][0])
    again = myoedge.energy(folder)["duty"]
    assert [*again["average_mw"]] == pytest.approx(stored["duty"]["average_mw"])
    assert again["average_mw"][0] < 0.5 * before["average_mw"][0]
