# SPDX-License-Identifier: Apache-2.0
"""Texts of a duty cycle: powers, hours, time asleep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.power.model import Battery
from myoedge.power.states import WAITING, MeasuredWaiting
from myoedge.reports import speed, wording
from myoedge.reports.energy import battery_of, digits, module_powers, with_range
from myoedge.reports.period import clocked_by, mean_mw, rest

STATE_NAMES = {
    "run": "cluster computes",
    "control": "controller computes",
    "idle": "idle",
    "cluster_off": "cluster off",
    "retention": "deep sleep",
}
SOURCES = {  # of an application's times and powers
    "planned": "planned: simulate --play counts them",
    "played": "counted in the last playback",
}
MOST_FOLD = 10.0  # of a battery life whose longest says something
CHIP_ONLY = "chip only: no front end, no radio"


def counted_powers(report: Mapping[str, Any]) -> str:
    """Describe which parts the power includes: "chip only: no front end, no radio", or "the chip,
    and 8 mW of all else"."""
    others_mw = module_powers(report).others_mw
    if others_mw is None:
        return CHIP_ONLY
    return f"the chip, and {wording.three_digits(others_mw)} mW of all else"


def duty_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, text) rows of the duty cycle; [] if no period is known."""
    duty = report.get("duty")
    if not duty:
        return []
    rows = [
        ("every", speed.duration(duty["period_s"])),
        *([("times", SOURCES[duty["source"]])] if clocked_by(report) else []),
        ("duty cycle", f"{100 * duty['share']:.3g} %"),
        ("average", with_range(duty["average_mw"], "mW")),
        _power_states_row(duty) if clocked_by(report) else ("asleep", _describe_sleep(duty)),
    ]
    if clocks := wording.shares_of_clocks(duty.get("clocks_s", ())):
        rows.append(("clocks", clocks))
    if duty["asleep_s"]:
        waking_s = duty["period_s"] * (1.0 - duty["share"]) - duty["asleep_s"]
        rows.append(("waking", f"{speed.duration(waking_s)} of each period, idle: in the average"))
    if raised := _raised_clock(report):
        rows.append(("limit", raised))
    if duty["hours"] is not None:
        rows.append(("battery", battery_hours(duty["hours"], battery_of(report))))
    if width := _explain_range_width(report):
        remedy = "; --sleep 0.05mW narrows it" * _sleep_is_guessed(duty)
        rows.append(("range", f"{width}{remedy}"))
    return rows


def of_application(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the rows of an application's average power by name, with the parts that it is of; {}
    if the report has none."""
    rows = dict(duty_rows(report)) if clocked_by(report) else {}
    return {**rows, "of": counted_powers(report)} if rows else {}


def battery_hours(hours: Sequence[float], battery: Battery | None) -> str:
    """Format the battery life (value, low, high): "150 mAh at 3.7 V: 268 h (84 to 363)"; if the
    longest is that of a power which is only assumed to be possible, "150 mAh at 3.7 V: 149 h, at
    least 73 h; the most is not known"."""
    value, low, high = hours
    of = f"{battery.capacity_mah:g} mAh at {battery.volts:g} V: " if battery else ""
    if high <= MOST_FOLD * low:
        return of + with_range(hours, "h")
    return f"{of}{digits(value, 3)} h, at least {digits(low, 3)} h; the most is not known"


def _raised_clock(report: Mapping[str, Any]) -> str:
    """Describe what [budget] energy, a limit of an inference, costs on average: the clock that it
    requires may take more power while it waits. "" if the clock would be the same without it."""
    target = report["target"]
    point = (target.get("without_limits") or {}).get("energy")
    if point is None or point["name"] == target["operating_point"]:
        return ""
    powers = (mean_mw(report) or 0.0, mean_mw(report, without="energy") or 0.0)
    with_it, without = wording.told_apart(wording.three_digits, *powers)
    there = f"{with_it} mW; without it about {without} mW at {point['name']}"
    return f"[budget] energy, of an inference, sets the clock: {there}"


def _sleep_is_guessed(duty: Mapping[str, Any]) -> bool:
    _, low_mw, high_mw = duty["sleep_mw"]
    return bool(duty["asleep_s"]) and low_mw != high_mw


def _explain_range_width(report: Mapping[str, Any]) -> str:
    """Explain the range of the average power: "wide because the chip's sleep power is not
    published: the value assumes the least"; "" if it is narrow, or not due to this."""
    duty = report["duty"]
    if _sleep_is_guessed(duty):
        return _explain_unpublished_power(duty["average_mw"], "sleep power", "the least")
    if not clocked_by(report) or module_powers(report).states_waiting:
        return ""
    return range_by_waiting(duty["average_mw"], duty["states_s"], duty.get("waiting"))


def range_by_waiting(
    power: Sequence[float], states_s: Mapping[str, float], measured: Mapping[str, Any] | None
) -> str:
    """Explain the range of an average power by the power of the states in which the cores wait:
    which measurement it is from, or that none is published; "" if they wait less than half of the
    time.

    power      (value, low, high) in any unit
    states_s   seconds in each power state
    measured   fields of power.states.MeasuredWaiting; None: not measured
    """
    if sum(states_s.get(state, 0.0) for state in WAITING) <= sum(states_s.values()) / 2:
        return ""
    if measured is None:
        return _explain_unpublished_power(power, "power while it waits", "running clocks")
    known = MeasuredWaiting(**measured)
    volts, here = known.volts, known.at_volts
    span = " to ".join(f"{ends:.2f}" for ends in dict.fromkeys(volts))
    at = f", at {span} V" if span else ""
    elsewhere = f", not at {here:.2f} V" if volts and not volts[0] <= here <= volts[1] else ""
    wide = "wide, " if _is_wide(power) else ""
    meter = f"from the measurement of the chip's power while it waits{at}{elsewhere}"
    return f"{wide}{meter} ({known.source})"


def _explain_unpublished_power(power: Sequence[float], cause: str, assumed: str) -> str:
    """Explain a range by a power of the chip that is not published; "" if less than 2-fold."""
    if not _is_wide(power):
        return ""
    return f"wide because the chip's {cause} is not published: the value assumes {assumed}"


def _is_wide(power: Sequence[float]) -> bool:
    _, low, high = power
    return high >= 2 * low


def _power_states_row(duty: Mapping[str, Any]) -> tuple[str, str]:
    """Return the row of the sensor application's power states: "cluster computes 5 %, cluster off
    95 %"."""
    total_s = sum(duty["states_s"].values())
    shares = (
        f"{STATE_NAMES[state]} {wording.rough_percent(seconds, total_s)}"
        for state, seconds in duty["states_s"].items()
        if seconds
    )
    return "states", ", ".join(shares)


def _describe_sleep(duty: Mapping[str, Any]) -> str:
    if not duty["keeps_up"]:
        return "never: an inference takes longer than the period"
    if not duty["asleep_s"]:
        return "never: no time to fall asleep and wake"
    _, low_mw, high_mw = duty["sleep_mw"]
    asleep = f"{speed.duration(duty['asleep_s'])} of each period, at {digits(low_mw, 2)}"
    is_range = high_mw != low_mw
    return f"{asleep} to {digits(high_mw, 2)} mW: not published" if is_range else f"{asleep} mW"


def on_average(report: Mapping[str, Any]) -> str:
    """Format the average power and battery life: "2.07 mW (1.53 to 6.63) with one every 50 ms (chip
    only: no front end, no radio); a battery of 150 mAh at 3.7 V: 268 h (84 to 363); the range is
    wide because the chip's sleep power is not published: the value assumes the least".
    """
    rows = dict(duty_rows(report))
    if not rows:
        return ""
    if not report["duty"]["keeps_up"]:
        return f"an inference takes longer than the {rows['every']} from one to the next"
    share, _ = rest(report) if report["duty"]["source"] == "planned" else (0.0, 0)
    at_rest = f", {wording.percent(share)} of them at rest" if share else ""
    counted = counted_powers(report)
    power = f"{rows['average']} with one every {rows['every']}{at_rest} ({counted})"
    battery = f"a battery of {rows['battery']}" if "battery" in rows else ""
    width = _explain_range_width(report)
    range_text = f"the range is {width}" if width else ""
    return "; ".join(filter(None, (power, battery, range_text, _raised_clock(report))))
