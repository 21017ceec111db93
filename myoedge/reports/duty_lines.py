# SPDX-License-Identifier: Apache-2.0
"""Texts of a duty cycle: powers, hours, time asleep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.reports import speed, wording
from myoedge.reports.energy import is_sensor, module_powers

STATE_NAMES = {
    "run": "cluster computes",
    "control": "controller computes",
    "idle": "idle",
    "cluster_off": "cluster off",
    "retention": "deep sleep",
}
CHIP_ONLY = "chip only: no front end, no radio"


def counted_powers(report: Mapping[str, Any]) -> str:
    """Describe which parts the power includes: "chip only: no front end, no radio", or "the chip,
    and 8 mW of all else"."""
    others_mw = module_powers(report).others_mw
    if others_mw is None:
        return CHIP_ONLY
    return f"the chip, and {wording.three_digits(others_mw)} mW of all else"


def duty_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, text) rows of the duty cycle; [] if no period is known. If the sleep power is
    only known between two bounds, ranges come first."""
    duty = report.get("duty")
    if not duty:
        return []
    is_guess = _sleep_is_guessed(duty)
    rows = [
        ("every", speed.duration(duty["period_s"])),
        ("duty cycle", f"{100 * duty['share']:.3g} %"),
        ("average", power_range(duty["average_mw"], "mW", sleeps=is_guess)),
        _states(duty) if is_sensor(report) else ("asleep", _asleep(duty)),
    ]
    if duty["asleep_s"]:
        waking_s = duty["period_s"] * (1.0 - duty["share"]) - duty["asleep_s"]
        rows.append(("waking", f"{speed.duration(waking_s)} of each period, idle: in the average"))
    if duty["hours"] is not None:
        hours = power_range(duty["hours"], "h", sleeps=is_guess)
        rows.append(("battery", f"{hours}, at {report['every']['battery_volts']:g} V"))
    if width := _guessed_width(duty):
        rows.append(("range", f"{width}; --sleep 0.05mW narrows it"))
    return rows


def _sleep_is_guessed(duty: Mapping[str, Any]) -> bool:
    _, low_mw, high_mw = duty["sleep_mw"]
    return bool(duty["asleep_s"]) and low_mw != high_mw


def _guessed_width(duty: Mapping[str, Any]) -> str:
    """Explain how much wider unknown sleep power makes the power's interval, "18-fold, because the
    chip's sleep power is not published"; "" if less than 2-fold."""
    _, low_mw, high_mw = duty["average_mw"]
    if not _sleep_is_guessed(duty) or high_mw < 2 * low_mw:
        return ""
    return f"{high_mw / low_mw:.0f}-fold, because the chip's sleep power is not published"


def power_range(interval: Sequence[float], unit: str, *, sleeps: bool, short: bool = False) -> str:
    """Format an average power with its interval: "1.53 to 6.63 mW", followed by the value at the
    lowest assumed sleep power unless `short`; for a known sleep power "2.07 mW (1.53 to 2.61)"."""
    value, low, high = (_digits(x, 3) for x in interval)
    if sleeps and short:
        return f"{low} to {high} {unit}"
    if sleeps:
        return f"{low} to {high} {unit} ({value} at the lowest assumed sleep power)"
    return f"{value} {unit} ({low} to {high})"


def _states(duty: Mapping[str, Any]) -> tuple[str, str]:
    """Return the row of the sensor application's power states: "cluster computes 5 %, cluster off
    95 %; planned: simulate --play counts them"."""
    total_s = sum(duty["states_s"].values())
    shares = (
        f"{STATE_NAMES[state]} {wording.rough_percent(seconds, total_s)}"
        for state, seconds in duty["states_s"].items()
        if seconds
    )
    of = {"planned": "planned: simulate --play counts them", "played": "of the last playback"}
    return "states", f"{', '.join(shares)}; {of[duty['source']]}"


def _asleep(duty: Mapping[str, Any]) -> str:
    if not duty["keeps_up"]:
        return "never: an inference takes longer than the period"
    if not duty["asleep_s"]:
        return "never: no time to fall asleep and wake"
    _, low_mw, high_mw = duty["sleep_mw"]
    asleep = f"{speed.duration(duty['asleep_s'])} of each period, at {_digits(low_mw, 2)}"
    is_range = high_mw != low_mw
    return f"{asleep} to {_digits(high_mw, 2)} mW: not published" if is_range else f"{asleep} mW"


def _digits(value: float, digits: int) -> str:
    """Format a number with `digits` significant digits, an integer from 99.5 on: 0.017, 1,234."""
    return f"{value:.{digits}g}" if value < 99.5 else f"{value:,.0f}"


def on_average(report: Mapping[str, Any]) -> str:
    """Format the average power and battery life: "1.53 to 6.63 mW (2.07 at the lowest assumed sleep
    power) with one every 50 ms (chip only: no front end, no radio); 84 to 363 h (268 at the lowest
    assumed sleep power) on the battery; 4-fold, because the chip's sleep power is not published".
    """
    rows = dict(duty_rows(report))
    if not rows:
        return ""
    if not report["duty"]["keeps_up"]:
        return f"an inference takes longer than the {rows['every']} from one to the next"
    power = f"{rows['average']} with one every {rows['every']} ({counted_powers(report)})"
    battery = f"{rows['battery']} on the battery" if "battery" in rows else ""
    return "; ".join(filter(None, (power, battery, _guessed_width(report["duty"]))))
