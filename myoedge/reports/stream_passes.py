# SPDX-License-Identifier: Apache-2.0
"""Latency and power of a stream for different numbers of frames per pass: short passes have a low
latency, long passes let the chip sleep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.backends.measurement import Activity
from myoedge.power.model import Coefficients, duty, typical, with_modelled_error
from myoedge.reports import duty_lines, wording
from myoedge.reports import energy as joules
from myoedge.reports.report_json import Report
from myoedge.reports.speed import duration
from myoedge.reports.tables import ReportTable
from myoedge.targets import OperatingPoint

TITLES = ("frames", "every", "computing", "latency", "average power")


def with_passes(report: Report, by: Coefficients) -> Report:
    """Return the report with latency and power of longer and shorter passes of a stream; unchanged
    without a frame rate.

    The build's own pass length has its cycles; other lengths have estimates.
    by   energy coefficients
    """
    stream = report.get("stream") or {}
    if not stream.get("frame_hz") or not stream.get("passes"):
        return report
    target = report["target"]
    chosen = next(p for p in target["operating_points"] if p["name"] == target["operating_point"])
    point = joules.as_point(chosen)
    passes = [_row(report, row, point, by) for row in stream["passes"]]
    return {**report, "stream": {**stream, "passes": passes}}


def _row(
    report: Report, row: Mapping[str, Any], point: OperatingPoint, by: Coefficients
) -> dict[str, Any]:
    stream = report["stream"]
    frame_s = 1 / stream["frame_hz"]
    period_s = row["frames"] * frame_s
    activity, is_built = _typical(report, row), False
    if row["frames"] == stream["pass_frames"]:
        activity, is_built = joules.activity(report), True
    known = joules.coefficients_for(report, by) if is_built else with_modelled_error(by)
    pass_s = activity.cycles / point.clock_hz
    found = duty(activity, point, known, period_s, module=joules.module_powers(report))
    return {
        **row,
        "period_s": period_s,
        "pass_s": pass_s,
        "latency_s": period_s + stream["future_frames"] * frame_s + pass_s,
        "keeps_up": found.keeps_up,
        "average_mw": list(found.average_mw),
        "sleeps": found.asleep_s > 0,
    }


def _typical(report: Report, row: Mapping[str, Any]) -> Activity:
    return typical(row["cycles"], row["l3_bytes"], layers=len(report["layers"]))


def pass_table(report: Report) -> ReportTable:
    """Return the table of pass lengths of a stream; without rows if no frame rate or only one
    length is known."""
    stream = report.get("stream") or {}
    rows = [row for row in stream.get("passes", ()) if "latency_s" in row]
    cells = (_cells(row, stream["pass_frames"]) for row in rows if len(rows) > 1)
    return ReportTable(TITLES, tuple(cells), words=TITLES)


def _cells(row: Mapping[str, Any], built_frames: int) -> tuple[str, ...]:
    own = " (this build)" * (row["frames"] == built_frames)
    busy = f"{duration(row['pass_s'])}, {wording.percent(row['pass_s'] / row['period_s'])}"
    power = duty_lines.power_range(row["average_mw"], "mW", sleeps=row["sleeps"], short=True)
    latency = duration(row["latency_s"])
    if not row["keeps_up"]:
        latency = power = "does not keep up"
    return (f"{row['frames']}{own}", duration(row["period_s"]), busy, latency, power)
