# SPDX-License-Identifier: Apache-2.0
"""A report with what an inference costs in joules, and that as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

from myoedge.backends.measurement import Activity
from myoedge.operators import layer_names as naming
from myoedge.power.calibrate import Residual
from myoedge.power.duty import Battery, duty
from myoedge.power.model import (
    SIGMAS,
    Coefficients,
    Energy,
    energy,
    for_modelled,
    for_typical,
    typical,
)
from myoedge.reports import speed, words
from myoedge.reports.rows import Report
from myoedge.targets import OperatingPoint

MICRO = 1e6
DIGITS = 6
UNITS = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"))
PART_NAMES = {
    "leakage": "leakage",
    "clocks": "clock trees",
    "cores": "cores",
    "fc": "fabric controller",
    "l1": "L1 memory",
    "dma": "DMA",
    "l3": "L3 memory",
}


def with_energy(report: Mapping[str, Any], by: Coefficients) -> Report:
    """The report with energy_uj of the whole and of layers; as it is for a chip without a clock."""
    points = report["target"].get("operating_points") or []
    if not report.get("cycles") or not points:
        return dict(report)
    chosen = next(p for p in points if p["name"] == report["target"]["operating_point"])
    sure = _as_sure(report, by)
    whole, at = activity(report), as_point(chosen)
    found = energy(whole, at, sure)
    layers = [
        {**row, **_of_layer(energy(layer_activity(row), at, sure))} for row in report["layers"]
    ]
    return {
        **report,
        "duty": _duty(report, whole, at, sure),
        "energy_uj": {
            **_interval(found),
            "source": report["cycles"]["source"],
            "counted": counted(report),
            "coefficients": by.source,
            "parts": {name: _uj(joules) for name, joules in found.parts.items()},
            "outside_layers": _outside(report, at, sure),
            "points": [_at(whole, as_point(p), sure) for p in (chosen, *_others(points, chosen))],
        },
        "layers": layers,
    }


def _as_sure(report: Mapping[str, Any], by: Coefficients) -> Coefficients:
    """The wider, the less of the report was counted."""
    if counted(report):
        return by
    return for_modelled(by) if report["cycles"]["source"] == "modelled" else for_typical(by)


def _duty(
    report: Mapping[str, Any], whole: Activity, point: OperatingPoint, by: Coefficients
) -> dict[str, Any] | None:
    """An inference in every period, where one is known."""
    known_s = period_s(report)
    if known_s is None:
        return None
    every = report.get("every") or {}
    mah = every.get("battery_mah")
    battery = None if mah is None else Battery(mah, every["battery_volts"])
    found = duty(whole, point, by, known_s, battery)
    return {**asdict(found), "keeps_up": found.keeps_up}


def period_s(report: Mapping[str, Any]) -> float | None:
    """What `energy --every` was told, else the time in which a stream's pass comes in."""
    told: float | None = (report.get("every") or {}).get("period_s")
    stream = report.get("stream") or {}
    rate = stream.get("frame_hz")
    return told or (stream["pass_frames"] / rate if rate else None)


def _others(points: list[dict[str, Any]], chosen: dict[str, Any]) -> list[dict[str, Any]]:
    return [point for point in points if point is not chosen]


def as_point(row: Mapping[str, Any]) -> OperatingPoint:
    return OperatingPoint(row["name"], row["volts"], row["clock_hz"])


def counted(report: Mapping[str, Any]) -> bool:
    """Whether instructions and accesses were counted, or only cycles."""
    return any(row.get("activity") for row in report["layers"])


def activity(report: Mapping[str, Any]) -> Activity:
    """Of the inference that the report is about: its cycles, what its layers do."""
    total = report["cycles"]["total"]
    layers = sum(map(layer_activity, report["layers"]), Activity(0))
    if not counted(report):
        return typical(total, layers.l3_bytes)
    return replace(layers, cycles=total)


def layer_activity(row: Mapping[str, Any]) -> Activity:
    """Counted, else typical for its cycles."""
    known = row.get("activity")
    if known:
        return Activity(**known)
    return typical(speed.layer_cycles(row) or 0, row.get("l3_moved_bytes") or 0)


def _outside(
    report: Mapping[str, Any], point: OperatingPoint, by: Coefficients
) -> dict[str, float] | None:
    """Of what no layer takes, so that rows add up; L3's bytes are those of layers."""
    outside = speed.outside_layers(dict(report))
    if outside is None:
        return None
    _, cycles = outside
    return _interval(energy(Activity(cycles) if counted(report) else typical(cycles), point, by))


def _interval(found: Energy) -> dict[str, float]:
    values = {"value": found.joules, "low": found.low_j, "high": found.high_j}
    return {name: _uj(joules) for name, joules in values.items()}


def _of_layer(found: Energy) -> dict[str, float]:
    ends = {"": found.joules, "low_": found.low_j, "high_": found.high_j}
    return {f"energy_{end}uj": _uj(joules) for end, joules in ends.items()}


def _at(whole: Activity, point: OperatingPoint, by: Coefficients) -> dict[str, Any]:
    found, seconds = energy(whole, point, by), whole.cycles / point.clock_hz
    return {
        "name": point.name,
        "volts": point.volts,
        "clock_hz": point.clock_hz,
        "latency_s": seconds,
        **_interval(found),
        "power_mw": float(f"{1e3 * found.joules / seconds:.{DIGITS}g}"),
    }


def _uj(joules: float) -> float:
    return float(f"{joules * MICRO:.{DIGITS}g}")


# --- for people -----------------------------------------------------------------------------------


def known(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """energy_uj, where this report has all of it."""
    found = report.get("energy_uj")
    return found if isinstance(found, dict) and "points" in found else None


def amount(joules: float) -> str:
    """ "20.5 mJ"."""
    scale, unit = next((pair for pair in UNITS if joules >= 0.9995 * pair[0]), UNITS[-1])
    return f"{words.three_digits(joules / scale)} {unit}"


def interval(value: float, low: float, high: float) -> str:
    """ "20.5 mJ (15.2 to 25.8)" in joules, all in the unit of the value."""
    scale, unit = next((pair for pair in UNITS if value >= 0.9995 * pair[0]), UNITS[-1])
    shown = [words.three_digits(x / scale) for x in (value, low, high)]
    return f"{shown[0]} {unit} ({shown[1]} to {shown[2]})"


def in_joules(row: Mapping[str, Any]) -> str:
    """Of a row with value, low and high in microjoules."""
    return interval(*(row[key] / MICRO for key in ("value", "low", "high")))


def of_result(row: Mapping[str, Any]) -> str:
    """Of a sweep's result, or of a layer; "" where it is not known."""
    found = [row.get(f"energy_{end}uj") for end in ("", "low_", "high_")]
    joules = [uj / MICRO for uj in found if uj is not None]
    return interval(*joules) if len(joules) == len(found) else ""


def by_point(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(energy, latency, power, point) at every operating point, the chosen one first."""
    found = known(report)
    return [
        (
            in_joules(p),
            speed.duration(p["latency_s"]),
            f"{words.three_digits(p['power_mw'])} mW",
            f"{p['volts']:.2f} V, {p['clock_hz'] / 1e6:.0f} MHz",
        )
        for p in (found["points"] if found else ())
    ]


def in_short(report: Mapping[str, Any]) -> str:
    """ "20.5 mJ (15.2 to 25.8) at 0.80 V, 370 MHz; ..."; "" where it is not known."""
    return "; ".join(f"{joules} at {point}" for joules, _, _, point in by_point(report))


def source(report: Mapping[str, Any]) -> str:
    """Whose counters, and whose coefficients."""
    found = known(report)
    if found is None:
        return ""
    what = "counters" if found["counted"] else "cycles, typical activity"
    return f"{what} of the {speed.measured_on(dict(report))}; {found['coefficients']}"


def parts(report: Mapping[str, Any]) -> str:
    """ "cores 55 %, clock trees 20 %, ..."."""
    found = known(report)
    if found is None:
        return ""
    rows = sorted(found["parts"].items(), key=lambda pair: -pair[1])
    shares = ((PART_NAMES[name], words.rough_percent(uj, found["value"])) for name, uj in rows)
    return ", ".join(f"{name} {share}" for name, share in shares if share)


MOST_NAMED = 3


def costliest(report: Mapping[str, Any]) -> list[str]:
    """The layers that cost most, and what no layer takes: "250 µJ (186 to 314)  head.fc"."""
    named = zip(report["layers"], naming.told_apart(report["layers"]), strict=True)
    rows = sorted(named, key=lambda pair: -(pair[0]["energy_uj"] or 0))[:MOST_NAMED]
    told = [f"{of_result(row)}  {name}" for row, name in rows]
    outside = speed.outside_layers(dict(report))
    cost = (known(report) or {}).get("outside_layers")
    return [*told, f"{in_joules(cost)}  {outside[0]}"] if outside and cost else told


def widths(rows: Sequence[Residual], before: Coefficients, after: Coefficients) -> str:
    """How much narrower intervals have become, on average over what was measured."""
    shares = [_half_width(rows, by) for by in (before, after)]
    return "interval of an inference: +-{:.0%} before, +-{:.0%} now".format(*shares)


def _half_width(rows: Sequence[Residual], by: Coefficients) -> float:
    found = [energy(row.measured.activity, row.measured.point, by) for row in rows]
    return fmean(SIGMAS * e.sigma_j / e.joules for e in found)


def duty_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a window every so often comes to, for people; nothing where no period is known."""
    found = report.get("duty")
    if not found:
        return []
    value, low, high = found["average_mw"]
    rows = [
        ("every", speed.duration(found["period_s"])),
        ("duty cycle", f"{100 * found['share']:.3g} %"),
        ("average", f"{words.three_digits(value)} mW ({low:.3g} to {high:.3g})"),
        ("asleep", _asleep(found)),
    ]
    if found["hours"] is not None:
        hours, least, most = found["hours"]
        rows.append(("battery", f"{hours:,.0f} h ({least:,.0f} to {most:,.0f})"))
    return rows


def _asleep(found: Mapping[str, Any]) -> str:
    if not found["keeps_up"]:
        return "never: an inference takes longer than the period"
    if not found["asleep_s"]:
        return "never: no time to fall asleep and wake"
    _, low, high = found["sleep_mw"]
    asleep = f"{speed.duration(found['asleep_s'])} of each period"
    return f"{asleep}, at {low:.2g} to {high:.2g} mW; the average is with the lower one"


def on_average(report: Mapping[str, Any]) -> str:
    """ "2.07 mW (1.53 to 6.63) with one every 50 ms, sleep at its lower bound; 268 h (84 to 363) on
    the battery"."""
    rows = dict(duty_rows(report))
    if not rows:
        return ""
    if not report["duty"]["keeps_up"]:
        return f"an inference takes longer than the {rows['every']} from one to the next"
    sleep = ", sleep at its lower bound" * bool(report["duty"]["asleep_s"])
    found = f"{rows['average']} with one every {rows['every']}{sleep}"
    return f"{found}; {rows['battery']} on the battery" if "battery" in rows else found
