# SPDX-License-Identifier: Apache-2.0
"""A build's report at an operating point, and the point that costs least."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from myoedge.codegen.application import Period
from myoedge.power.duty import ControlCycles
from myoedge.power.states import SWITCH_US
from myoedge.reports.energy import as_point, average_mw, played_states, with_energy
from myoedge.reports.period import built_point, clocked_by, inference_s, own_period_s
from myoedge.reports.streams import with_passes, with_real_time

if TYPE_CHECKING:
    from myoedge.power.model import Coefficients
    from myoedge.reports.report_json import Report
    from myoedge.targets import Chip
    from myoedge.targets.chip import OperatingPoint

SAME_POWER = 1.01  # of a power: more or less than that is another one
BUSY_SHARE = 0.8  # of an application's period; the rest is for retries and jitter


def at_operating_point(report: Report, chip: Chip, auto: bool, by: Coefficients) -> Report:
    """Return the report with latency, energy and stream figures at the chip's first operating
    point.

    auto   whether to select the cheapest operating point instead
    by     energy coefficients
    """
    if not report["cycles"] or not chip.point.clock_hz:
        return report
    without = without_limits(report, chip, by) if auto else {}
    if auto:
        chip = chip.at(cheapest_point(report, chip, by))
    latency_s = inference_s(report, chip.point.clock_hz)
    there = {**at_points(report, chip), "latency_s": latency_s}
    if without:
        there["target"]["without_limits"] = without
    if clocked_by(report):
        here = {**asdict(chip.point), "latency_s": latency_s}
        decision_s, source = _decision(report, here)
        there |= {"decision_s": decision_s, "decision_source": source}
    judged = with_energy(there, by)
    return with_passes(with_real_time(judged), by) if "stream" in judged else judged


def _decision(report: Report, point: Mapping[str, Any]) -> tuple[float, str]:
    """Return the seconds from a window's last sample to an application's decision at an operating
    point, and their source: the longest of the last playback if it was played there, or else
    planned."""
    played = played_states(report)
    played_s = 0.0 if played is None else played.decision_s
    if played_s and as_point(built_point(report)).same_clocks(as_point(point)):
        return played_s, "played"
    return _application_times(stored_period(report), point)[0], "planned"


def planned_decision_s(report: Report) -> float:
    """Return the planned seconds from a window's last sample to an application's decision, also of
    a report with played ones."""
    point = {**built_point(report), "latency_s": report["latency_s"]}
    return _application_times(stored_period(report), point)[0]


def cheapest_point(
    report: Report, chip: Chip, by: Coefficients, latency_s: float | None = None
) -> str:
    """Return the name of the operating point with the least energy that meets the latency limits
    and keeps up with the stream or sensor; if none does, the fastest.

    by          energy coefficients
    latency_s   latency limit in seconds, in addition to [budget] latency
    Candidates are the chip's points, the highest clock at each voltage, and for an application that
    waits in between, whose average power is compared, the lower clocks with which it keeps up, and
    each clock with all clocks of waiting with which it does.
    """
    limits_s = [latency_s, (report.get("budget") or {}).get("latency_s")]
    if clocked_by(report):
        return cheapest(application_points(report, chip, by), _least(limits_s))
    points = _at_candidates(report, chip, by)["energy_uj"]["points"]
    limit_s = _least([*limits_s, own_period_s(report)])
    return cheapest([(p["name"], p["latency_s"], p["value"]) for p in points], limit_s)


def application_points(
    report: Report, chip: Chip, by: Coefficients
) -> list[tuple[str, float, float]]:
    """Return (name, seconds from a window's last sample to its decision on the line, planned
    average power in mW) of the operating points with which an application keeps up, within [budget]
    energy; of all if there is none."""
    period, judged = stored_period(report), _at_candidates(report, chip, by)
    points = judged["energy_uj"]["points"]
    rows = [
        (p["name"], _decision(report, p)[0], average_mw(judged, as_point(p), by)) for p in points
    ]
    energy_j = (report.get("budget") or {}).get("energy_j") or math.inf
    fits = (
        _application_times(period, p)[1] <= BUSY_SHARE and 1e-6 * p["value"] <= energy_j
        for p in points
    )
    return [*itertools.compress(rows, fits)] or rows


def sooner(report: Report, chip: Chip, by: Coefficients) -> list[str]:
    """Return remedies of an application whose decision comes too late: the operating point of least
    power at which it does not, if there is one."""
    points = application_points(report, chip, by)
    in_time = [point for point in points if point[1] <= report["budget"]["latency_s"]]
    found = [f'--operating-point "{cheapest(in_time, None)}"'] if in_time else []
    fewer = ["fewer [stream] frames"] if "stream" in report else []
    return [*found, *fewer, "a higher baud_rate in [sensor]", "a smaller network"]


def without_limit(report: Report, limit: str) -> Report:
    """Return the report of the same build without a limit: a key of its `budget`."""
    return {**report, "budget": {**report["budget"], limit: None}}


def without_limits(report: Report, chip: Chip, by: Coefficients) -> dict[str, dict[str, Any]]:
    """Return "energy" or "latency", limits of [budget] that choose an application's clock -> the
    operating point without this limit, with the time of a decision; {} without such limits."""
    budget, found = report.get("budget") or {}, dict[str, dict[str, Any]]()
    rules = (("energy", "energy_j", cheapest), ("latency", "latency_s", soonest))
    for name, limit, choose in rules:
        if clocked_by(report) and budget.get(limit):
            free = without_limit(report, limit)
            points = application_points(free, chip, by)
            point = choose(points, free["budget"].get("latency_s"))
            decision_s = next(seconds for other, seconds, _ in points if other == point)
            found[name] = {**asdict(chip.at(point).point), "decision_s": decision_s}
    return found


def soonest(points: Iterable[tuple[str, float, float]], latency_s: float | None = None) -> str:
    """Return the name of the fastest operating point that takes no more than SAME_POWER times the
    power of the cheapest one within the latency; `points` as in `cheapest`."""
    rows = list(points)
    least = cheapest(rows, latency_s)
    most = SAME_POWER * next(joules for name, _, joules in rows if name == least)
    return min((row for row in rows if row[2] <= most), key=lambda row: row[1])[0]


def _at_candidates(report: Report, chip: Chip, by: Coefficients) -> Report:
    least_hz, period = chip.least_hz(report["memory"]["levels"]), stored_period(report)
    lower = chip.with_clocks_hz(hz for hz in period.clocks_hz if hz >= least_hz)
    every = lower.at_every_voltage().with_waiting(period.waiting_hz)
    return at_operating_point(report, every, False, by)


def _least(limits: Iterable[float | None]) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


def stored_period(report: Report) -> Period:
    """Return the period of a report, of an older version too; never if it has none."""
    stored = report.get("period") or {"seconds": math.inf}
    return Period(**{name: x for name, x in stored.items() if name != "set_by"})


def _application_times(period: Period, point: Mapping[str, Any]) -> tuple[float, float]:
    """Return the seconds from a window's last sample to its decision on the line, and the share of
    the period in which the chip works."""
    at, inference_s = as_point(point), point["latency_s"]
    switch_s = 1e-6 * SWITCH_US if at.waiting_hz else 0.0
    control = ControlCycles(period.control_cycles, period.receiving_cycles)
    busy_s = inference_s + control.seconds(at) + 2 * switch_s
    return _decision_s(period, at, inference_s, switch_s), busy_s / period.seconds


def _decision_s(period: Period, at: OperatingPoint, inference_s: float, switch_s: float) -> float:
    """Return the planned seconds from a window's last sample to its decision on the line. Samples
    that come meanwhile interrupt the controller, at the network's clock, but not the inference."""
    last_s = period.last_sample_cycles / at.while_waiting.clock_hz
    before = period.decision_cycles - period.last_sample_cycles - period.packet_cycles
    begin_s = _interrupted_s(period, at, period.read_s + last_s + switch_s, before)
    end_s = _interrupted_s(period, at, begin_s + inference_s, period.packet_cycles)
    return end_s + period.decision_s - period.read_s


def _interrupted_s(period: Period, at: OperatingPoint, start_s: float, cycles: int) -> float:
    """Return the time at which the controller has worked for some cycles, with the samples that
    interrupt this work; all times are from a sample on.

    start_s   time at which the work begins
    """
    work_s, sample_s = start_s + cycles / at.clock_hz, period.sample_cycles / at.clock_hz
    if not period.sample_s or sample_s >= period.sample_s:  # too fast for this clock: E264
        return work_s
    before, count = math.floor(start_s / period.sample_s), 0
    while (found := math.floor((work_s + count * sample_s) / period.sample_s) - before) > count:
        count = found
    return work_s + count * sample_s


def cheapest(points: Iterable[tuple[str, float, float]], latency_s: float | None) -> str:
    """Return the name of the operating point with the least energy that meets the latency; if none
    does, that of the fastest.

    points   (name, seconds, joules)
    """
    rows = list(points)
    in_time = [row for row in rows if latency_s is None or row[1] <= latency_s]
    return min(in_time, key=lambda row: row[2])[0] if in_time else min(rows, key=lambda r: r[1])[0]


def at_points(report: Mapping[str, Any], chip: Chip) -> Report:
    """Return the report with the chip's operating points, the first of which is selected."""
    target = {
        **report["target"],
        "operating_points": [asdict(point) for point in chip.points],
        "operating_point": chip.point.name,
        "clock_hz": chip.point.clock_hz,
        "l3_bytes_per_s": chip.l3_bytes_per_s or None,
    }
    return {**report, "target": target}
