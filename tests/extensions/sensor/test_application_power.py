# SPDX-License-Identifier: Apache-2.0
"""One operating point and one power figure per sensor application."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import myoedge
from myoedge.api.models import as_build
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.evidence.requirements import power_requirement
from myoedge.extensions.sensor.playback import Played, program_of
from myoedge.power.model import PUBLISHED
from myoedge.power.states import WAITING
from myoedge.reports.duty_lines import duty_rows
from myoedge.targets import find_chip
from tests.conftest import myoedge as command
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
    myoedge.energy(low, reset=True)
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
    assert f"battery   {rows['battery']}" in lines
    assert rows["states"].endswith("cluster off 100 %")
    assert rows["times"] == "counted in the last playback"


GIVEN = [
    ({"battery": 150, "others": "4 mW"}, 0.150 * 3.7, 4e-3),
    ({"battery": "0.3 Ah", "volts": 3.0}, 0.300 * 3.0, 0.0),
    ({"others": "250 uW"}, None, 0.25e-3),
]


@pytest.mark.parametrize(("given", "watt_hours", "others_w"), GIVEN)
def test_battery_and_other_parts_in_the_same_run_or_before(
    low: Build,
    played: Played,
    tmp_path: Path,
    given: dict[str, Any],
    watt_hours: float | None,
    others_w: float,
) -> None:
    now, before = (Path(shutil.copytree(low.folder, tmp_path / x)) for x in ("now", "before"))
    for folder in (now, before):
        myoedge.energy(folder, reset=True)
    power = myoedge.play(now, applications.MYO, seconds=1, **given).power
    chip_w = played.power.chip_j[0] / played.power.seconds
    assert power.power_w[0] == pytest.approx(chip_w + others_w)
    hours = None if power.hours is None else power.hours[0]
    assert hours == (watt_hours and pytest.approx(watt_hours / power.power_w[0]))
    myoedge.energy(before, **given)
    later = myoedge.play(before, applications.MYO, seconds=1).power
    assert (later.power_w, later.hours) == (power.power_w, power.hours)
    assert Build(now).report["duty"] == Build(before).report["duty"]


EACH = {"battery": "150 mAh", "volts": "3.0 V", "others": "4 mW", "sleep": "0.05 mW"}
STORED = {"battery_mah": 150.0, "battery_volts": 3.0, "others_mw": 4.0, "sleep_mw": 0.05}


@pytest.mark.parametrize("order", [*permutations(EACH)][::5])
def test_options_of_energy_stay_in_whichever_order_they_are_given(
    low: Build, played: Played, tmp_path: Path, order: tuple[str, ...]
) -> None:
    """Each in a run of its own, those of an application without its period; a new one replaces
    itself alone. The average has the other parts in every run after that with --others, and the
    power of waiting in every run after that with --sleep."""
    folder = Path(shutil.copytree(low.folder, tmp_path / "out"))
    myoedge.energy(folder, reset=True)
    power, seen = played.power, set[str]()
    chip_mw = 1e3 * power.chip_j[0] / power.seconds
    modelled_j = sum(power.states_j[state] for state in WAITING)
    stated_j = 0.05e-3 * sum(power.states_s[state] for state in WAITING)
    slept_mw = chip_mw + 1e3 * (stated_j - modelled_j) / power.seconds
    for name in order:
        if name == "volts" and "battery" not in seen:
            continue
        duty = myoedge.energy(folder, **{name: EACH[name]})["duty"]
        seen.add(name)
        expected_mw = slept_mw if "sleep" in seen else chip_mw
        assert duty["average_mw"][0] == pytest.approx(expected_mw + 4.0 * ("others" in seen))
        assert (duty["hours"] is None) == ("battery" not in seen)
    every = myoedge.energy(folder, battery="300 mAh", volts="3 V")["every"]
    assert every == {"period_s": None, **STORED, "battery_mah": 300.0}
    shown = " ".join(command("energy", "out", cwd=tmp_path).out.split())
    assert "--battery 300mAh --volts 3V --others 4mW --sleep 0.05mW" in shown
    again = myoedge.play(folder, applications.MYO, seconds=1)
    assert 1e3 * again.power.power_w[0] == pytest.approx(slept_mw + 4.0)


def test_a_report_of_another_measured_waiting_is_marked(
    low: Build, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coefficients of inferences, and so all energies of one, are the same."""
    folder, place = Path(shutil.copytree(low.folder, tmp_path / "out")), tmp_path / "energy.json"
    monkeypatch.setenv("MYOEDGE_ENERGY", str(place))
    waits = replace(PUBLISHED, source="a meter", volts=(0.65, 0.65))
    known = replace(PUBLISHED, source="a meter", waiting=waits)
    place.write_text(json.dumps(asdict(known)))
    before = myoedge.energy(folder)
    assert before["duty"]["waiting"] == {
        "source": "a meter",
        "volts": (0.65, 0.65),
        "at_volts": 0.65,
    }
    report = ("report", "out")
    shown = " ".join(command("energy", "out", cwd=tmp_path).out.split())
    assert "measurement of the chip's power while it waits, at 0.65 V (a meter)" in shown
    assert "before a calibration" not in command(*report, cwd=tmp_path).out
    for change in ({"values": (3.0, *waits.values[1:])}, {"volts": (0.65, 0.8)}, {"workload": 0.5}):
        new = replace(known, waiting=replace(waits, **change))
        place.write_text(json.dumps(asdict(new)))
        assert "before a calibration" in command(*report, cwd=tmp_path).out, change
        (row,) = power_requirement(as_build(folder))
        assert row.value.endswith("before a calibration (a meter; now a meter)"), change
        after = myoedge.energy(folder)
        assert after["energy_uj"] == before["energy_uj"]
        assert "before a calibration" not in command(*report, cwd=tmp_path).out


@pytest.mark.parametrize(
    "given", [{"battery": "much"}, {"battery": -1}, {"volts": 3.0}, {"others": "4 V"}]
)
def test_a_playback_refuses_what_energy_refuses(low: Build, given: dict[str, Any]) -> None:
    myoedge.energy(low, reset=True)
    said = []
    for refusing in (partial(myoedge.play, low, applications.MYO), partial(myoedge.energy, low)):
        with pytest.raises(MyoedgeError, match="E232") as caught:
            refusing(**given)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_options_of_a_playback_on_the_command_line(low: Build, tmp_path: Path) -> None:
    folder = shutil.copytree(low.folder, tmp_path / "out")
    words = ("--play", str(applications.MYO), "--seconds", "1", "--battery", "150mAh")
    ran = command(
        "simulate", folder, *words, "--volts", "3.0", "--others", "4mW", "--json", cwd=tmp_path
    )
    power = myoedge.play(low, applications.MYO, seconds=1, battery=150, volts=3, others="4mW").power
    assert ran.json["power_w"]["value"] == power.power_w[0]
    assert ran.json["battery_h"]["value"] == power.hours[0]  # type: ignore[index]
    assert ran.json["others_w"] == 4e-3


def test_a_given_power_of_waiting_is_told_and_is_no_reason_for_another_clock(
    low: Build, tmp_path: Path
) -> None:
    """It was measured at one clock: 240 MHz, at which the application waits far too fast."""
    folder = Path(shutil.copytree(low.folder, tmp_path / "out"))
    free = myoedge.play(folder, applications.MYO, seconds=1)
    assert any("--operating-point" in saving.setting for saving in free.savings)
    myoedge.energy(folder, sleep="0.1 mW")
    given = myoedge.play(folder, applications.MYO, seconds=1)
    assert not any("--operating-point" in saving.setting for saving in given.savings)
    text = "\n".join(given.lines())
    assert "of it 0.1 mW whenever the chip waits, as given by energy --sleep" in text
    assert "not published" not in text
    myoedge.energy(folder, reset=True)
    again = "\n".join(myoedge.play(folder, applications.MYO, seconds=1).lines())
    assert "energy --sleep" not in again


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
