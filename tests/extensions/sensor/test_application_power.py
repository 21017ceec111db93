# SPDX-License-Identifier: Apache-2.0
"""One operating point and one power figure per sensor application."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.playback import Played, program_of
from myoedge.reports.duty_lines import duty_rows
from myoedge.targets import find_chip
from tests.extensions.sensor import applications

# Idle power in mW at a clock in MHz, by hand: docs/developers/energy.md, leakage and clocks.
LEAKAGE_MW, CLOCKS_PJ = 4.28782, 34.2382


def idle_mw(volts: float, clock_mhz: float) -> float:
    v = volts / 0.8
    return LEAKAGE_MW * v + CLOCKS_PJ * 1e-3 * v * v * clock_mhz


@pytest.fixture(scope="module")
def low(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("low")
    sensor = {**applications.ARMBAND, "hop": 8}
    return applications.built(folder, applications.Windows, 40, "low", sensor=sensor)


@pytest.fixture(scope="module")
def played(low: Build) -> Played:
    return myoedge.play(low, applications.MYO, seconds=1)


def test_the_application_runs_at_its_operating_point(low: Build, played: Played) -> None:
    assert program_of(low).point == find_chip("gap9").at("low").point
    header = (low.folder / "src" / "firmware" / "clock.h").read_text()
    assert "ME_CLOCK_MULTIPLIER 244u" in header, "240 MHz on GAP9's platform"
    assert played.exact
    assert played.samples_lost == 0
    assert played.power.seconds == pytest.approx(1.1, abs=0.1), "of the recording"
    assert 1e3 * played.power.power_w[0] == pytest.approx(idle_mw(0.65, 240.0), rel=0.03)


def test_report_energy_and_playback_give_one_power(low: Build, played: Played) -> None:
    report = myoedge.energy(low.folder, battery=150, others="4 mW")
    again = myoedge.play(low.folder, applications.MYO, seconds=1)
    for duty in (report["duty"], Build(low.folder).report["duty"]):
        assert duty["source"] == "played"
        assert tuple(duty["average_mw"]) == pytest.approx([1e3 * w for w in again.power.power_w])
        assert tuple(duty["hours"]) == pytest.approx(again.power.hours)
        shares = {s: x / again.power.seconds for s, x in again.power.states_s.items()}
        assert duty["states_s"] == pytest.approx({s: 0.04 * x for s, x in shares.items()})
    rows = dict(duty_rows(report))
    lines = "\n".join(again.lines())
    assert f"power     {rows['average']}," in lines
    assert f"battery   {rows['battery'].split(',')[0]}" in lines
    assert rows["states"].endswith("cluster off 100 %; of the last playback")


def test_a_plan_is_near_what_is_played(low: Build, played: Played, tmp_path: Path) -> None:
    sensor = {**applications.ARMBAND, "hop": 8}
    new = applications.built(tmp_path, applications.Windows, 40, "low", sensor=sensor)
    planned, found = new.report["duty"], played.power
    assert planned["source"] == "planned"
    assert planned["average_mw"][0] == pytest.approx(1e3 * found.power_w[0], rel=0.03)
    assert planned["average_mw"][1] == pytest.approx(1e3 * found.power_w[1], abs=0.1)
    share = {s: x / found.seconds for s, x in found.states_s.items()}
    assert planned["states_s"]["cluster_off"] / 0.04 == pytest.approx(
        share["cluster_off"], abs=0.03
    )


@pytest.mark.parametrize("point", ["high", "300MHz"])
def test_another_point_needs_another_build(low: Build, tmp_path: Path, point: str) -> None:
    folder = shutil.copytree(low.folder, tmp_path / "out")
    for refused in (myoedge.energy, myoedge.simulate):
        with pytest.raises(MyoedgeError, match="operating point low"):
            refused(folder, operating_point=point)
    assert Build(folder).report["target"]["operating_point"] == "low"


def test_auto_sets_the_clock_that_it_selects(tmp_path: Path) -> None:
    sensor = {**applications.ARMBAND, "hop": 8}
    build = applications.built(tmp_path, applications.Windows, 40, "auto", sensor=sensor)
    target = build.report["target"]
    assert target["operating_point"] != "high"
    assert program_of(build).point.name == target["operating_point"]
    header = (build.folder / "src" / f"{build.prefix}.h").read_text()
    assert f"_CLOCK_HZ {target['clock_hz']}u" in header
