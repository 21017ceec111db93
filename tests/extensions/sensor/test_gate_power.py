# SPDX-License-Identifier: Apache-2.0
"""What a gate saves and what it takes itself, in playbacks and on the page."""

from __future__ import annotations

import html
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import myoedge
from myoedge.backends.build import Build, load_build
from myoedge.building.build_files import changed_report
from myoedge.extensions.sensor.playback import Played
from myoedge.extensions.sensor.played_panel import gate_texts
from myoedge.power.model import PUBLISHED
from tests.extensions.sensor import applications
from tests.extensions.sensor.test_wake import armband


@pytest.fixture(scope="module", params=["gated", "gated at 240/10 MHz"])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    return applications.made(tmp_path_factory.mktemp("gated"), request.param)


@pytest.fixture(scope="module")
def played(build: Build) -> Played:
    return myoedge.play(build, armband(0))


def test_a_gain_is_weighed_against_its_cost(build: Build, played: Played) -> None:
    """A pass has the instructions and accesses of the report, which a chip that waits has not; it
    waits for the same time at its own clock."""
    wake, parts_uj = played.wake, build.report["energy_uj"]["parts"]
    target = build.report["target"]
    (point,) = (p for p in target["operating_points"] if p["name"] == target["operating_point"])
    slower = (point["waiting_hz"] or point["clock_hz"]) / point["clock_hz"]
    assert wake is not None
    assert wake["resting"] > 0
    assert wake["gate_w"] > 0
    assert wake["without_w"] == pytest.approx(played.power.power_w[0] + wake["saved_w"])
    work_uj = sum(uj for name, uj in parts_uj.items() if name not in ("leakage", "clocks"))
    pass_j = 1e-6 * (work_uj + parts_uj["clocks"] * (1 - slower))
    of_passes_w = pass_j * wake["resting"] / played.power.seconds
    assert wake["saved_w"] + wake["gate_w"] == pytest.approx(of_passes_w, rel=1e-3)


@pytest.mark.parametrize("clocks", ["", " at 240/10 MHz"])
def test_a_gate_takes_what_a_playback_without_it_does_not(
    tmp_path_factory: pytest.TempPathFactory, clocks: str
) -> None:
    """No window is below the limit of 0, so that both applications run all passes."""
    tables = {**applications.MADE["gated"][2], "wake": {"threshold": 1e-6, "hold": 0}}
    point = clocks.removeprefix(" at ") or None
    folder = tmp_path_factory.mktemp("gate")
    gated = applications.built(folder, applications.Windows, 40, point, **tables)
    alone = applications.shared(tmp_path_factory, f"windows{clocks}")
    with_gate, without = (
        myoedge.play(build, applications.MYO, seconds=2) for build in (gated, alone)
    )
    assert with_gate.wake is not None
    assert with_gate.wake["resting"] == 0
    more_w = with_gate.power.power_w[0] - without.power.power_w[0]
    assert with_gate.wake["gate_w"] == pytest.approx(more_w, rel=0.2)


def test_a_gate_that_costs_more_than_it_saves(played: Played) -> None:
    assert played.wake is not None
    costs = {**played.wake, "gate_w": 2e-3, "saved_w": -1.5e-3, "without_w": 4e-3}
    gain = "costs 1.5 mW: 5.5 mW with it, about 4 mW without"
    told = f"{gain}; the gate itself adds 2 mW to the power of waiting"
    assert gate_texts(costs)[-1] == told
    assert told in "\n".join(replace(played, wake=costs).lines())


@pytest.mark.parametrize(
    ("saved_w", "gate_w", "told"),
    [
        (-2.29e-7, 2.29e-7, "saves nothing: 3.72 mW with it and without; the gate itself adds"),
        (8e-6, 2e-6, "saves 0.008 mW: 3.716 mW with it, about 3.724 mW without; the gate itself"),
        (1.2e-3, 2e-5, "saves 1.2 mW: 2.52 mW with it, about 3.72 mW without; the gate itself"),
    ],
)
def test_small_powers_of_a_gate_are_in_milliwatts_that_differ(
    played: Played, saved_w: float, gate_w: float, told: str
) -> None:
    assert played.wake is not None
    wake = {**played.wake, "saved_w": saved_w, "gate_w": gate_w, "without_w": 3.724e-3}
    assert gate_texts(wake)[-1].startswith(told)


def test_the_parts_of_the_latency_are_of_passes(played: Played) -> None:
    assert played.wake is not None
    told = f"of the {played.wake['passes']:,} with a pass: wait "
    assert told in "\n".join(played.lines())


def test_figures_of_before_a_calibration_go_with_it(
    build: Build, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a gate saves, and suggestions, until the next playback or `advise`; its counts stay."""
    folder, place = Path(shutil.copytree(build.folder, tmp_path / "out")), tmp_path / "energy.json"
    monkeypatch.setenv("MYOEDGE_ENERGY", str(place))
    copy = load_build(folder)
    advice = {"suggestions": [], "tried": 1, "refused": [], "pointless": [], "left": 0}
    assert changed_report(copy, lambda report: {**report, "advice": advice})[1] is None
    before = gate_texts(played.wake)
    for calibrations in range(2):
        report = myoedge.energy(folder)
        assert ("advice" in report) == (calibrations == 0)
        page = html.unescape((folder / "report.html").read_text(encoding="utf-8"))
        shown = [text for text in before if f"<li>{text}</li>" in page]
        assert shown == (before if calibrations == 0 else before[:-1])
        values = (1.0, *PUBLISHED.values[1:])
        place.write_text(json.dumps(asdict(replace(PUBLISHED, values=values))))
    again = myoedge.play(folder, armband(0)).wake
    assert again is not None
    page = html.unescape((folder / "report.html").read_text(encoding="utf-8"))
    assert f"<li>{gate_texts(again)[-1]}</li>" in page
    assert gate_texts(again)[-1] != before[-1]


def test_the_page_shows_how_the_gate_worked(build: Build, played: Played) -> None:
    page = html.unescape((build.folder / "report.html").read_text(encoding="utf-8"))
    texts = gate_texts(played.wake)
    assert any("onset" in text for text in texts)
    for text in texts:
        assert f"<li>{text}</li>" in page
