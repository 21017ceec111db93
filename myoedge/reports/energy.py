# SPDX-License-Identifier: Apache-2.0
"""Energy of an inference: computed from a report's counters, and formatted as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from myoedge.backends.measurement import Activity
from myoedge.operators import layer_names as naming
from myoedge.power.duty import Duty, duty
from myoedge.power.model import (
    BATTERY_VOLTS,
    Battery,
    Coefficients,
    Energy,
    ModulePowers,
    energy,
    typical,
    typical_on_engine,
    with_modelled_error,
    with_typical_error,
)
from myoedge.power.states import PlayedStates
from myoedge.reports import speed, wording
from myoedge.reports.period import (
    at_clock,
    at_other_clocks,
    clocked_by,
    control_cycles,
    period_s,
    rest,
)
from myoedge.reports.report_json import Report
from myoedge.targets import ACCELERATOR, OperatingPoint, find_chip

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
    ACCELERATOR.name: ACCELERATOR.text,
    "mram": "flash on the chip",
}


def with_energy(report: Mapping[str, Any], by: Coefficients) -> Report:
    """Return a report with the energy of the network and of its layers in microjoules (energy_uj);
    a report of a chip without a clock is unchanged.

    by   energy coefficients
    """
    points = report["target"].get("operating_points") or []
    is_known = find_chip(report["target"]["chip"]).energy is not None
    if not report.get("cycles") or not points or not is_known:
        return dict(report)
    chosen_name = report["target"]["operating_point"]
    chosen, *others = sorted(points, key=lambda point: point["name"] != chosen_name)
    coefficients = coefficients_for(report, by)
    at = as_point(chosen)
    inference, rows = activity(report, at.clock_hz), at_clock(report, at.clock_hz)["layers"]
    names = ("energy_uj", "energy_low_uj", "energy_high_uj")
    ends = (_interval(energy(layer_activity(row), at, coefficients)) for row in rows)
    layers = [
        {**row, **dict(zip(names, interval.values(), strict=True))}
        for row, interval in zip(report["layers"], ends, strict=True)
    ]
    return {
        **report,
        "duty": _duty(report, at, by),
        "energy_uj": {
            **_interval(consumed := energy(inference, at, coefficients)),
            "source": report["cycles"]["source"],
            "counted": counted(report),
            "coefficients": by.source,
            "parts": {name: _uj(joules) for name, joules in consumed.parts.items()},
            "outside_layers": _outside_layers(report, at, coefficients),
            "points": [_at_point(report, as_point(p), coefficients) for p in (chosen, *others)],
        },
        "layers": layers,
    }


def coefficients_for(report: Mapping[str, Any], by: Coefficients) -> Coefficients:
    """Return energy coefficients, with wider intervals if the report's counters or cycles are
    estimates."""
    if counted(report):
        return by
    is_modelled = report["cycles"]["source"] == "modelled"
    return (with_modelled_error if is_modelled else with_typical_error)(by)


def _outside_layers(
    report: Mapping[str, Any], point: OperatingPoint, by: Coefficients
) -> dict[str, float] | None:
    """Return the energy outside all layers, so that the rows add up; None if there is none."""
    outside = speed.outside_layers(dict(report))
    if outside is None:
        return None
    _, cycles = outside
    return _interval(energy(Activity(cycles), point, by))


def _duty(
    report: Mapping[str, Any], point: OperatingPoint, by: Coefficients
) -> dict[str, Any] | None:
    """Return power and battery life for one inference per period, and the planned average powers
    of an application's points of target.without_limits; None if no period is known."""
    if period_s(report) is None:
        return None
    found = asdict(_duty_at(report, point, by, played_states(report)))
    if not clocked_by(report):
        return found
    others = (report["target"].get("without_limits") or {}).items()
    without_mw = {limit: average_mw(report, as_point(other), by) for limit, other in others}
    return {**found, "planned_mw": average_mw(report, point, by), "without_mw": without_mw}


def _duty_at(
    report: Mapping[str, Any],
    point: OperatingPoint,
    by: Coefficients,
    played: PlayedStates | None = None,
) -> Duty:
    """Return power and battery life, planned without a playback."""
    window_s = period_s(report)
    assert window_s is not None, "called for reports with a period"
    known = by if played is not None else coefficients_for(report, by)
    given = (battery_of(report), module_powers(report), played, control_cycles(report))
    # in some periods only the first layers run
    (share, layers), there = rest(report), at_clock(report, point.clock_hz)
    inference = activity(report, point.clock_hz)
    mean = inference.times(1 - share) + of_first_layers(there, layers).times(share)
    return duty(mean, point, known, window_s, *given)


def of_first_layers(report: Mapping[str, Any], count: int) -> Activity:
    """Return the counters of the first layers of an inference."""
    return sum(map(layer_activity, report["layers"][:count]), Activity(0))


def played_states(report: Mapping[str, Any]) -> PlayedStates | None:
    """Return the times of the application's last playback, which a report stores; None without
    one."""
    document = report.get("played")
    return None if document is None else PlayedStates.from_json(document)


def played_pass_s(report: Mapping[str, Any]) -> float | None:
    """Return the seconds that the cluster computed per pass in the last playback; None if they are
    not known."""
    played = played_states(report)
    if played is None or not played.passes:
        return None
    return played.state_cycles["run"] / played.clock_hz / played.passes


def battery_of(report: Mapping[str, Any]) -> Battery | None:
    """Return the battery given by `energy --battery`, which a report stores; None without one."""
    given = report.get("every") or {}
    mah = given.get("battery_mah")
    return None if mah is None else Battery(mah, given.get("battery_volts") or BATTERY_VOLTS)


def module_powers(report: Mapping[str, Any]) -> ModulePowers:
    """Return the powers given by `energy --others --sleep`, which a report stores; an
    application that sets its clock is idle between inferences."""
    given = report.get("every") or {}
    return ModulePowers(given.get("others_mw"), given.get("sleep_mw"), not clocked_by(report))


def average_mw(report: Mapping[str, Any], point: OperatingPoint, by: Coefficients) -> float:
    """Return the planned average power of a report's application at an operating point."""
    return _duty_at(report, point, by).average_mw[0]


def as_point(row: Mapping[str, Any]) -> OperatingPoint:
    return OperatingPoint(row["name"], row["volts"], row["clock_hz"], row.get("waiting_hz", 0))


def counted(report: Mapping[str, Any]) -> bool:
    """Return whether a report has counted instructions and memory accesses, rather than cycles
    only."""
    return any(row.get("activity") for row in report["layers"])


def activity(report: Mapping[str, Any], clock_hz: int | None = None) -> Activity:
    """Return the counters of an inference: its total cycles, and the instructions and accesses of
    its layers.

    clock_hz   clock of the chip; None: that of the report's operating point
    """
    there = at_clock(report, clock_hz or report["target"]["clock_hz"])
    layers = sum(map(layer_activity, there["layers"]), Activity(0))
    return replace(layers, cycles=there["cycles"]["total"])


def layer_activity(row: Mapping[str, Any]) -> Activity:
    """Return the counters of a layer; typical ones for its cycles if they were not counted."""
    if energy_row := row.get("activity"):
        return Activity(**energy_row)
    moved = (row.get(f"{level}_moved_bytes") or 0 for level in ("l3", "mram"))
    cycles, waits = speed.layer_cycles(row) or 0, speed.waiting(row)
    if row.get("engine") != ACCELERATOR.name:
        return replace(typical(cycles - waits, *moved), cycles=cycles)
    jobs = row.get(f"{ACCELERATOR.name}_modelled", cycles)
    return replace(typical_on_engine(cycles - waits, *moved, job_cycles=jobs), cycles=cycles)


def _interval(consumed: Energy) -> dict[str, float]:
    """Return an energy in microjoules with its interval: keys value, low, high."""
    values = {"value": consumed.joules, "low": consumed.low_j, "high": consumed.high_j}
    return {name: _uj(joules) for name, joules in values.items()}


def _at_point(report: Mapping[str, Any], point: OperatingPoint, by: Coefficients) -> dict[str, Any]:
    inference = activity(report, point.clock_hz)
    consumed, seconds = energy(inference, point, by), inference.cycles / point.clock_hz
    return {
        "name": point.name,
        "volts": point.volts,
        "clock_hz": point.clock_hz,
        "waiting_hz": point.waiting_hz,
        "latency_s": seconds,
        **_interval(consumed),
        "power_mw": float(f"{1e3 * consumed.joules / seconds:.{DIGITS}g}") if seconds else 0.0,
    }


def _uj(joules: float) -> float:
    return float(f"{joules * MICRO:.{DIGITS}g}")


# --- for people -----------------------------------------------------------------------------------


def energy_row(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report's energy_uj; None if it is missing or of an older version."""
    row = report.get("energy_uj")
    return row if isinstance(row, dict) and "points" in row else None


def amount(joules: float, digits: int = 3) -> str:
    """Format an energy with its unit: "20.5 mJ"."""
    scale, unit = _unit(joules)
    return f"{wording.three_digits(joules / scale, digits)} {unit}"


def interval(value: float, low: float, high: float) -> str:
    """Format an energy in joules with its interval: "20.5 mJ (15.2 to 25.8)"."""
    ends = [wording.three_digits(x / _unit(value)[0]) for x in (low, high)]
    return f"{amount(value)} ({ends[0]} to {ends[1]})"


def _unit(joules: float) -> tuple[float, str]:
    return next((pair for pair in UNITS if joules >= 0.9995 * pair[0]), UNITS[-1])


def in_joules(row: Mapping[str, Any]) -> str:
    """Format an energy with its interval from a row with value, low and high in microjoules."""
    return interval(*(row[key] / MICRO for key in ("value", "low", "high")))


def of_result(row: Mapping[str, Any]) -> str:
    """Format the energy of a layer, or of a sweep's result, with its interval; "" if unknown."""
    values_uj = [row.get(f"energy_{end}uj") for end in ("", "low_", "high_")]
    joules = [uj / MICRO for uj in values_uj if uj is not None]
    return interval(*joules) if len(joules) == len(values_uj) else ""


def by_point(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return (energy, latency, power, operating point) as text for every operating point, the
    selected one first."""
    row, texts = energy_row(report), []
    for p in row["points"] if row else ():
        seconds, names = p["latency_s"], ("value", "low", "high")
        milliwatts = [1e-3 * p[name] / seconds if seconds else p["power_mw"] for name in names]
        point = wording.at_point(p["volts"], p["clock_hz"], p.get("waiting_hz", 0))
        power = with_range(milliwatts, "mW")  # the energy's, by the latency
        texts.append((in_joules(p), speed.duration(seconds), power, point))
    return texts


def with_range(interval: Sequence[float], unit: str) -> str:
    """Format (value, low, high), as of a power or a time: "2.07 mW (1.53 to 6.63)"."""
    value, low, high = (digits(x, 3) for x in interval)
    return f"{value} {unit} ({low} to {high})"


def digits(value: float, count: int) -> str:
    """Format a number with `count` significant digits, an integer from 99.5 on: 0.017, 1,234."""
    return f"{value:.{count}g}" if value < 99.5 else f"{value:,.0f}"


def one_line(report: Mapping[str, Any]) -> str:
    """Return the energy at every operating point as text, "20.5 mJ (15.2 to 25.8) at 0.80 V, 370
    MHz; ..."; "" if unknown."""
    return "; ".join(f"{joules} at {point}" for joules, _, _, point in by_point(report))


def source(report: Mapping[str, Any]) -> str:
    """Describe whether the counters were counted or estimated, and where the energy coefficients
    come from."""
    row = energy_row(report)
    if row is None:
        return ""
    counts = "counters" if row["source"] == "simulated" else "simulated counters, cycles"
    counts = counts if row["counted"] else "cycles, typical activity"
    measured = f"{counts} of the {speed.measured_on(dict(report))}"
    return "; ".join(filter(None, (measured, at_other_clocks(report), row["coefficients"])))


def parts(report: Mapping[str, Any]) -> str:
    """Format the energy by part of the chip: "cores 55 %, clock trees 20 %, ..."."""
    row = energy_row(report)
    if row is None:
        return ""
    rows = sorted(row["parts"].items(), key=lambda pair: -pair[1])
    percents = ((PART_NAMES[name], wording.rough_percent(uj, row["value"])) for name, uj in rows)
    return ", ".join(f"{name} {percent}" for name, percent in percents if percent)


MAX_NAMED = 3


def costliest(report: Mapping[str, Any]) -> list[str]:
    """Return the layers with the most energy, and the cycles outside layers, one per line: "250 µJ
    (186 to 314) head.fc"."""
    named_rows = zip(report["layers"], naming.unique_names(report["layers"]), strict=True)
    rows = sorted(named_rows, key=lambda pair: -(pair[0]["energy_uj"] or 0))[:MAX_NAMED]
    lines = [f"{of_result(row)}  {name}" for row, name in rows]
    outside = speed.outside_layers(dict(report))
    cost = (energy_row(report) or {}).get("outside_layers")
    return [*lines, f"{in_joules(cost)}  {outside[0]}"] if outside and cost else lines
