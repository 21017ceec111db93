# SPDX-License-Identifier: Apache-2.0
"""The cost of each limit of [budget] that a build meets, such as more energy for less latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from myoedge.reports import energy as joules
from myoedge.reports import wording
from myoedge.reports.report_json import Report
from myoedge.reports.speed import duration

MEMORIES = ("l1", "l2", "l3")
USED = {"l1": "l1_peak_bytes", "l3": "l3_bytes"}


def budget_lines(report: Report) -> list[str]:
    """Return one line per limit: "latency 5 ms: takes 3.21 ms; 41 % more energy than at low, in
    4.96 ms"."""
    limits = report.get("budget") or {}
    lines = [*_time(report, limits), *_energy(report, limits), *_sqnr(report, limits)]
    return [*lines, *(line for name in MEMORIES for line in _memory(report, limits, name))]


def goals(limits: Mapping[str, Any]) -> list[str]:
    """Return the names of the limits that [budget] sets."""
    known = {
        "latency": limits.get("latency_s"),
        "energy": limits.get("energy_j"),
        "sqnr": limits.get("sqnr_db") or limits.get("outputs_sqnr_db"),
        **{name: limits.get(f"{name}_bytes") for name in MEMORIES},
    }
    return [name for name, value in known.items() if value is not None]


def _time(report: Report, limits: Mapping[str, Any]) -> Iterator[str]:
    if limits.get("latency_s") is None or report["latency_s"] is None:
        return
    line = f"latency {duration(limits['latency_s'])}: takes {duration(report['latency_s'])}"
    points = (joules.energy_row(report) or {"points": ()})["points"]
    least = min(points, key=lambda point: point["value"], default=None)
    if least is None or least["value"] >= points[0]["value"]:
        yield line
        return
    more = wording.rough_percent(points[0]["value"] - least["value"], least["value"])
    late = "" if least["latency_s"] <= limits["latency_s"] else ", too late"
    taken = duration(least["latency_s"])
    yield f"{line}; {more} more energy than at {least['name']}, which takes {taken}{late}"


def _energy(report: Report, limits: Mapping[str, Any]) -> Iterator[str]:
    row = joules.energy_row(report)
    if limits.get("energy_j") is None or row is None:
        return
    line = f"energy {joules.amount(limits['energy_j'])}: takes {joules.in_joules(row)}"
    fastest = min(row["points"], key=lambda point: point["latency_s"])
    if fastest["latency_s"] < report["latency_s"]:
        taken = duration(fastest["latency_s"])
        line += f"; {duration(report['latency_s'])} instead of {taken} at {fastest['name']}"
    yield line


def _sqnr(report: Report, limits: Mapping[str, Any]) -> Iterator[str]:
    asked = limits.get("outputs_sqnr_db") or limits.get("sqnr_db")
    if asked is None:
        return
    q = report["quantization"]
    kept = (c["more_cycles"] for c in reversed(q.get("choices", ())) if c["kept"])
    more = next(kept, 0.0)
    cost = wording.rough_percent(more, 1.0) if more else ""
    cost = f"{cost} more cycles than 8 bits, estimated" if cost else "no cycles"
    if isinstance(asked, int | float):
        text, keeps = f"{asked:g} dB", wording.decibels(q["sqnr_db"])
    else:
        found = {port["name"]: port.get("sqnr_db") for port in report["outputs"]}
        text = _by_output(asked)
        keeps = ", ".join(f"{name} {wording.decibels(found.get(name))}" for name in asked)
    yield f"SQNR {text}: keeps {keeps}, for {cost}"


def _by_output(asked: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {db:g} dB" for name, db in asked.items())


def _memory(report: Report, limits: Mapping[str, Any], name: str) -> Iterator[str]:
    limit = limits.get(f"{name}_bytes")
    used = wording.l2_bytes(report) if name == "l2" else report["memory"].get(USED[name])
    if limit is None:
        return
    line = f"{name.upper()} {wording.size(limit)}: takes {wording.size(used)}"
    more = (limits.get("more_cycles") or {}).get(name)
    if more is None:
        yield line
        return
    cost = wording.rough_percent(more, 1.0) if more > 0 else ""
    cost = f"{cost} more cycles than with all of it, estimated" if cost else "no cycles"
    yield f"{line}, for {cost}"
