# SPDX-License-Identifier: Apache-2.0
"""Clocks of sensor applications: what is chosen keeps up on the simulated chip, and what is refused
does not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import Status
from myoedge.building.operating_points import application_points, cheapest
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.clocks import spi_hz
from myoedge.extensions.sensor.playback import Played, program_of
from myoedge.power.model import PUBLISHED
from myoedge.power.states import RISE_US
from myoedge.reports.budget import budget_lines
from myoedge.reports.energy import average_mw
from myoedge.reports.period import built_point
from myoedge.reports.speed import duration
from myoedge.simulator import Fault
from myoedge.targets import find_chip
from tests.conftest import save_exported, thinned
from tests.extensions.sensor import applications

NAMES = [*applications.MADE]
LINE = {"front_end": "uart", "bits": 24, "input_range": "1 V", "unit": "uV", "channels": 8}
ON_LINE: dict[str, Any] = {**LINE, "rate": 1000, "hop": 10, "baud_rate": 1_000_000}


def built(folder: Path, name: str, point: str, **budget: str) -> Build:
    kind, samples, tables = applications.MADE.get(
        name, (applications.Windows, 40, {"sensor": ON_LINE})
    )
    tables = {**tables, "budget": budget} if budget else tables
    return applications.built(folder, kind, samples, point, **tables)


def played(build: Build, folder: Path, seconds: float = 1.0) -> Played:
    """The beginning of the armband's recording, as if it had the application's channels and rate,
    with a rest from which a gate wakes."""
    sensor = program_of(build).sensor
    emg = np.tile(applications.emg(), (1, sensor.channels // 8))
    emg[sensor.rate_hz * 3 // 10 : sensor.rate_hz * 7 // 10] = 0
    np.savez(folder / "r.npz", emg=emg, fs=np.float64(sensor.rate_hz))
    return myoedge.play(build, folder / "r.npz", seconds=seconds)


@pytest.mark.parametrize("name", [*thinned(NAMES), "line"])
def test_the_clock_that_auto_takes_keeps_up(name: str, tmp_path: Path) -> None:
    build = built(tmp_path, name, "auto")
    planned, point = build.report["duty"], built_point(build.report)
    assert (point["waiting_hz"] or point["clock_hz"]) <= 30_000_000
    found = played(build, tmp_path)
    assert found.exact
    assert found.samples_lost == 0
    assert planned["average_mw"][0] == pytest.approx(1e3 * found.power.power_w[0], rel=0.03)
    assert found.latency is not None
    assert found.latency.max_s < 2 * build.report["period"]["seconds"]


@pytest.mark.parametrize("name", thinned(NAMES))
def test_planned_cycles_of_the_controller(name: str, tmp_path: Path) -> None:
    build = built(tmp_path, name, "80MHz")
    period, powers = build.report["period"], [played(build, tmp_path, s).power for s in (0.6, 1.2)]
    (before_s, before), (after_s, after) = ((x.states_s["control"], x.seconds) for x in powers)
    counted = (after_s - before_s) / (after - before)  # without the start
    assert 0.8 < period["control_cycles"] / 80e6 / period["seconds"] / counted < 1.25


@pytest.mark.parametrize("name", thinned(NAMES))
def test_a_latency_that_needs_a_faster_clock(name: str, tmp_path: Path) -> None:
    """Of the decision on the line; the played latency and power hold what auto assumed."""
    free = built(tmp_path, name, "auto").report
    period, own, cycles = free["period"], built_point(free), free["cycles"]["total"]
    slow_hz = own["waiting_hz"] or own["clock_hz"]
    last_s = period["last_sample_cycles"] / slow_hz
    work_s = (cycles + period["decision_cycles"]) / slow_hz - last_s
    limit_s = period["decision_s"] + last_s + work_s / 4
    (tmp_path / "fast").mkdir()
    build = built(tmp_path / "fast", name, "auto", latency=f"{1e6 * limit_s:.0f} us")
    planned = build.report
    point, decision_s = planned["target"]["operating_points"][0], planned["decision_s"]
    assert 4 <= point["clock_hz"] / slow_hz < 25
    assert point["waiting_hz"] == pytest.approx(slow_hz, rel=0.1)
    found = played(build, tmp_path)
    assert (found.exact, found.samples_lost) == (True, 0)
    assert found.latency is not None
    assert found.latency.max_s < limit_s
    assert found.wake is None or found.wake["wake_ups_per_minute"] > 0
    assert decision_s < limit_s
    rise_s = 0 if found.wake is None else 1e-6 * RISE_US  # planned; simulated are two thirds of it
    assert found.latency.max_s <= decision_s < 1.3 * found.latency.max_s + rise_s
    assert f": a decision takes {duration(decision_s)}, planned" in budget_lines(planned)[0]
    planned_mw, power_w = planned["duty"]["average_mw"][0], found.power.power_w[0]
    assert planned_mw == pytest.approx(1e3 * power_w, rel=0.03)
    assert planned_mw < 1.1 * free["duty"]["average_mw"][0]


LATE: dict[str, tuple[str, str, str, dict[str, Any]]] = {  # of a remedy: what it changes
    "operating-point": ("windows", "60 MHz", "300 us", {"point": "240/120.2 MHz"}),
    "[stream] frames": ("stream", "auto", "5 ms", {"stream": {"frames": 1}}),
    "baud_rate": ("windows", "auto", "200 us", {"sensor": {"baud_rate": 2_000_000}}),
}


@pytest.mark.parametrize("remedy", thinned(LATE))
def test_a_decision_that_comes_too_late_by_the_plan(remedy: str, tmp_path: Path) -> None:
    """E302; each remedy was tried."""
    name, point, limit, changes = LATE[remedy]
    kind, samples, tables = applications.MADE[name]
    tables = {**tables, "budget": {"latency": limit}}
    with pytest.raises(MyoedgeError) as caught:
        applications.built(tmp_path, kind, samples, point, **tables)
    assert caught.value.code == "E302"
    assert dict(caught.value.notice.facts)["budget"] == limit.replace("us", "µs")
    (text,) = [text for text in caught.value.notice.tries if remedy in text]
    point = changes.get("point", point)
    assert remedy != "operating-point" or f'"{point}"' in text
    changed = {
        key: {**table, **changes.get(key, {})} if isinstance(table, dict) else table
        for key, table in tables.items()
    }
    (tmp_path / "mended").mkdir()
    assert applications.built(tmp_path / "mended", kind, samples, point, **changed).report


POINTS = ("20/10 MHz", "160/10 MHz", "240/15 MHz", "325/10.1 MHz", "370/10 MHz")


@pytest.mark.parametrize("point", thinned(POINTS))
def test_two_clocks_of_every_voltage(point: str, tmp_path: Path) -> None:
    """Times by the program's own timer do not drift; with one clock all the time, it is the same
    decisions for more power."""
    (tmp_path / "one").mkdir()
    build = built(tmp_path, "chip", point)
    one = built(tmp_path / "one", "chip", f"{point.split('/')[0]} MHz")
    found, plain = played(build, tmp_path), played(one, tmp_path)
    assert (found.exact, found.samples_lost) == (True, 0)
    times = [[x.time_us for x in run.decisions] for run in (found, plain)]
    assert np.diff(times[0]) == pytest.approx(np.diff(times[1]), abs=25)
    clock = program_of(build).clock
    ready = np.take(found.run.ready_cycles, [row.frame for row in found.decisions])
    late_us = times[0] - ready / clock.hz * 1e6
    assert np.median(late_us[-20:]) == pytest.approx(np.median(late_us[:20]), abs=2)
    assert found.power.power_w[0] < plain.power.power_w[0]
    shares = {hz: seconds / found.power.seconds for hz, seconds in found.power.clocks_s}
    assert 1 < clock.hz / clock.waiting_hz == pytest.approx(clock.waiting, rel=1e-6)
    assert shares[clock.waiting_hz] > 0.75


def test_the_lower_the_clock_of_waiting_the_less_the_power(tmp_path: Path) -> None:
    """By the model; so that a lower latency alone needs a higher one."""
    report = built(tmp_path, "chip", "240/10 MHz").report
    chip = find_chip("gap9")
    points = [chip.at(f"240/{mhz} MHz").point for mhz in (10, 15, 20, 40, 80, 120, 240)]
    powers_mw = [average_mw(report, point, PUBLISHED) for point in points]
    assert powers_mw == sorted(powers_mw)


def test_a_clock_of_waiting_without_an_application(tmp_path: Path) -> None:
    linear = save_exported(nn.Linear(4, 2).eval(), (torch.zeros(1, 4),), tmp_path / "m.pt2")
    samples = np.zeros((2, 1, 4), np.float32)
    with pytest.raises(MyoedgeError, match="no operating point 240/10 MHz") as raised:
        myoedge.build(linear, calib=samples, operating_point="240/10 MHz", output=tmp_path / "o")
    assert raised.value.notice.tries == ('--operating-point "240 MHz"',)


@pytest.mark.parametrize("text", ["240 / 10 MHz", "240MHz/10MHz", "240 mhz / 10 mhz"])
def test_a_pair_may_be_written_with_spaces_and_both_units(text: str) -> None:
    assert find_chip("gap9").at(text).point == find_chip("gap9").at("240/10 MHz").point


@pytest.mark.parametrize("point", ["240/250 MHz", "240/5 MHz", "10/", "/10 MHz"])
def test_pairs_that_are_no_operating_point(point: str) -> None:
    with pytest.raises(MyoedgeError, match="there is no operating point"):
        find_chip("gap9").at(point)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("240/130 MHz", "240 MHz"),
        ("240/240 MHz", "240 MHz"),
        ("19/10 MHz", "19 MHz"),
        ("29/10 MHz", "29 MHz"),  # 14.7 MHz makes no baud rate
        ("240/90 MHz", "240/120.2 MHz"),
    ],
)
def test_clocks_of_waiting_that_no_divider_makes(asked: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="no divider of 2 or more makes") as raised:
        built(tmp_path, "chip", asked)
    (remedy,) = raised.value.notice.tries
    assert remedy == f'--operating-point "{named}"'
    point = built(tmp_path, "chip", named).report["target"]["operating_points"][0]
    assert point["waiting_hz"] == (find_chip("gap9").at(named).point.waiting_hz)


def test_energy_of_an_inference_that_needs_a_faster_clock(tmp_path: Path) -> None:
    """Leakage during an inference is less at higher clocks."""
    free = built(tmp_path, "windows", "auto").report["energy_uj"]["points"]
    slow, low = (next(p for p in free if p["name"] == name) for name in ("10 MHz", "low"))
    limit_uj = (slow["value"] + low["value"]) / 2
    (tmp_path / "less").mkdir()
    report = built(tmp_path / "less", "windows", "auto", energy=f"{limit_uj:.4f} uJ").report
    assert low["value"] < report["energy_uj"]["value"] < limit_uj
    assert 10_000_000 < report["target"]["clock_hz"] < 240_000_000


@pytest.mark.parametrize(("more_cycles", "slowest"), [(-1, "20 MHz"), (1, "30/10 MHz")])
def test_the_chip_works_for_at_most_four_fifths_of_a_period(
    more_cycles: int, slowest: str, tmp_path: Path
) -> None:
    report = built(tmp_path, "windows", "20MHz").report
    period, cycles = report["period"], report["cycles"]["total"]
    control_cycles = round(Fraction(4, 5) * Fraction(period["seconds"]) * 20_000_000) - cycles
    period = {**period, "control_cycles": control_cycles + more_cycles}
    points = application_points({**report, "period": period}, find_chip("gap9"), PUBLISHED)
    assert cheapest(points, None) == slowest


def test_a_clock_at_which_samples_would_be_lost(tmp_path: Path) -> None:
    """Eight chips at 2 kHz and 3 MBd; the clock that is named keeps up."""
    with pytest.raises(MyoedgeError, match="does not keep up at 20 MHz") as raised:
        built(tmp_path, "chain", "20MHz")
    found = raised.value.notice
    assert found.code == "E264"
    assert [key for key, _ in found.facts] == ["sensor.baud_rate", "sensor.rate"]
    (remedy,) = found.tries
    point = remedy.removeprefix("--operating-point ").strip('"')
    assert played(built(tmp_path, "chain", point), tmp_path, 0.3).samples_lost == 0


BEHIND_L2: dict[str, Any] = {
    "sensor": {**applications.ARMBAND, "rate": 5000, "hop": 1000},
    "quant": {"*": {"weights": 8}},
}


@pytest.mark.parametrize(("level", "memory"), [("l3", None), ("mram", "mram=auto")])
def test_the_remedy_keeps_the_clock_of_memories(
    level: str, memory: str | None, tmp_path: Path
) -> None:
    """A lower clock has no L3 or MRAM."""
    l2 = {"l3": "72KiB", "mram": "100KiB"}[level]
    given = (tmp_path, applications.Wide, 40)
    tables = {**BEHIND_L2, "budget": {"l2": l2}}
    with pytest.raises(MyoedgeError, match="does not keep up at 10 MHz") as raised:
        applications.built(*given, "240/10 MHz", memory, **tables)
    (remedy,) = raised.value.notice.tries
    point = remedy.removeprefix("--operating-point ").strip('"')
    assert point.startswith("240/")
    build = applications.built(*given, point, memory, **tables)
    assert build.report["memory"]["levels"][level] > 0
    found = played(build, tmp_path, 0.5)
    assert (found.exact, found.samples_lost) == (True, 0)


def test_the_remedy_of_a_pair_is_a_pair(tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="does not keep up at 10 MHz") as raised:
        built(tmp_path, "chain", "240/10 MHz")
    (remedy,) = raised.value.notice.tries
    point = remedy.removeprefix("--operating-point ").strip('"')
    assert point.startswith("240/")
    assert played(built(tmp_path, "chain", point), tmp_path, 0.3).samples_lost == 0


@pytest.mark.parametrize("point", ["240/10MHz", " 240.0/10.00 mhz"])
def test_other_names_of_a_builds_point(point: str, tmp_path: Path) -> None:
    build = built(tmp_path, "chip", "240/10 MHz")
    report = myoedge.energy(build.folder, operating_point=point)
    assert report["target"]["operating_point"] == "240/10 MHz"
    with pytest.raises(MyoedgeError, match="built for the operating point 240/10 MHz"):
        myoedge.energy(build.folder, operating_point="240 MHz")


def test_a_clock_at_which_interrupts_come_late(tmp_path: Path) -> None:
    """While the status of a lost sample is sent, no other one is lost."""
    sensor = {**BEHIND_L2["sensor"], "baud_rate": 230_400}
    given = (tmp_path, applications.Windows, 40)
    with pytest.raises(MyoedgeError, match="does not keep up at 15 MHz") as raised:
        applications.built(*given, "240/15 MHz", sensor=sensor)
    (remedy,) = raised.value.notice.tries
    point = remedy.removeprefix("--operating-point ").strip('"')
    build = applications.built(*given, point, sensor=sensor)
    recording = applications.emg()[:2500]
    found = myoedge.play(build, recording, faults=[Fault(60, "missed", 0)])
    assert found.samples_lost == 2


def test_a_hop_longer_than_a_window(tmp_path: Path) -> None:
    """A status after a fault, and one for a second; not one for each turn of the program."""
    sensor = {**applications.ARMBAND, "hop": 150}
    build = applications.built(tmp_path, applications.Windows, 40, "high", sensor=sensor)
    found = myoedge.play(build, applications.emg()[:600], faults=[Fault(50, "missed", 0)])
    assert len(found.decisions) == 4
    before_end = [x for x in found.records if isinstance(x, Status) and x.frame < 590]
    assert 1 <= len(before_end) < 6


def test_a_rate_for_which_no_clock_is_fast_enough(tmp_path: Path) -> None:
    """192 bytes every 50 us; the rate that is named is built."""
    fast = {**applications.ARMBAND, "bits": 24, "channels": 64, "rate": 20_000, "hop": 40}
    sensor: dict[str, Any] = {**fast, "spi_clock": "50 MHz", "baud_rate": 3_000_000}
    with pytest.raises(MyoedgeError, match="does not keep up at 370 MHz") as raised:
        applications.built(tmp_path, applications.Windows, 40, "high", sensor=sensor)
    (remedy,) = raised.value.notice.tries
    sensor["rate"] = int(remedy.removeprefix("[sensor] rate = "))
    assert 10_000 < sensor["rate"] < 20_000
    build = applications.built(tmp_path, applications.Windows, 40, "high", sensor=sensor)
    assert played(build, tmp_path, 0.05).samples_lost == 0


@pytest.mark.parametrize("clock_hz", find_chip("gap9").low_clocks_hz)
@pytest.mark.parametrize("most_hz", [100_000, 1_000_000, 8_000_000, 20_000_000, 50_000_000])
def test_the_spi_is_not_faster_than_asked(clock_hz: int, most_hz: int) -> None:
    found = spi_hz(clock_hz, most_hz)
    divider = clock_hz / found
    assert divider.denominator == 1
    assert divider % 2 == 0
    assert found <= most_hz
    assert divider == 2 or clock_hz / (divider - 2) > most_hz
