# SPDX-License-Identifier: Apache-2.0
"""report.json of a build at an operating point: estimated, then with the cycles of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from myoedge.reports.cycles import with_cycles
from myoedge.reports.energy import with_energy
from myoedge.reports.streams import stream_report, with_real_time
from myoedge.system.folder import to_json

if TYPE_CHECKING:
    from myoedge.backends.measurement import Measurement
    from myoedge.building.pipeline import Quantized
    from myoedge.building.request import BuildPlan, BuildRequest
    from myoedge.power.model import Coefficients
    from myoedge.reports.report_json import Report
    from myoedge.targets import Chip

AUTO = "auto"  # operating point: the cheapest that keeps [budget] latency


def estimated_report(
    build_plan: BuildPlan, quantized: Quantized, request: BuildRequest, by: Coefficients
) -> Report:
    """report.json before anything has run, with the limits of the request under "budget"."""
    from myoedge.reports.report_json import Outcome, make_report

    outcome = Outcome(
        quantized.model.name,
        quantized.fidelity,
        quantized.accuracy_float,
        quantized.accuracy_int8,
        params=quantized.model.params,
    )
    reused, stream_plan = quantized.reused, build_plan.stream_plan
    report = {
        **make_report(build_plan.plan, outcome),
        "budget": asdict(request.limits),
        "reused": None if reused is None else asdict(reused),
    }
    if stream_plan is not None:
        report["stream"] = stream_report(
            stream_plan.stream, stream_plan.frame_hz, stream_plan.window_s, stream_plan.least_frames
        )
    chip = build_plan.plan.chip
    return at_operating_point(report, chip, request.point == AUTO, by)


def with_run(
    report: Report, measured: Measurement, chip: Chip, auto: bool, by: Coefficients
) -> Report:
    """The report with cycles, stalls and energy of a run, at the chip's first operating point."""
    counted = with_cycles(at_points(report, chip), measured, chip.point)
    return at_operating_point(counted, chip, auto, by)


def at_operating_point(report: Report, chip: Chip, auto: bool, by: Coefficients) -> Report:
    """Latency, energy and stream figures at the chip's first operating point.

    auto   at the cheapest point that keeps [budget] latency and keeps up with the stream instead;
           where none does, the fastest
    """
    if not report["cycles"] or not chip.point.clock_hz:
        return report
    latency_s = report["cycles"]["total"] / chip.point.clock_hz
    judged = with_real_time(with_energy({**at_points(report, chip), "latency_s": latency_s}, by))
    if not auto:
        return judged
    limits_s = [(report.get("budget") or {}).get("latency_s")]
    limits_s += [point["period_s"] for point in (judged.get("stream") or {}).get("points", ())[:1]]
    limit_s = min((limit for limit in limits_s if limit is not None), default=None)
    points = [(p["name"], p["latency_s"], p["value"]) for p in judged["energy_uj"]["points"]]
    return at_operating_point(report, chip.at(cheapest(points, limit_s)), False, by)


def cheapest(points: Iterable[tuple[str, float, float]], latency_s: float | None) -> str:
    """Name with the fewest joules among (name, seconds, joules) within the latency, else the
    fastest."""
    rows = list(points)
    in_time = [row for row in rows if latency_s is None or row[1] <= latency_s]
    return min(in_time, key=lambda row: row[2])[0] if in_time else min(rows, key=lambda r: r[1])[0]


def at_points(report: Mapping[str, Any], chip: Chip) -> Report:
    """The report with the chip's operating points, the first of them chosen."""
    target = {
        **report["target"],
        "operating_points": [asdict(point) for point in chip.points],
        "operating_point": chip.point.name,
        "clock_hz": chip.point.clock_hz,
        "l3_bytes_per_s": chip.l3_bytes_per_s or None,
    }
    return {**report, "target": target}


def report_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """report.json, report.html and layers.csv, which simulate, validate and energy replace."""
    from myoedge.reports.html import report_html
    from myoedge.reports.layers_csv import layers_csv

    return {
        "report.json": to_json(report).encode(),
        "report.html": report_html(dict(report)).encode(),
        "layers.csv": layers_csv(dict(report)).encode(),
    }
