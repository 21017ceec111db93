# SPDX-License-Identifier: Apache-2.0
"""Check of `[budget] latency` against the cycles that a run has counted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from myoedge.errors import Notice, notice
from myoedge.operators.layer_names import located_rows
from myoedge.reports import speed

if TYPE_CHECKING:
    from myoedge.reports.report_json import Report

MAX_NAMED = 3  # layers, of those that cost most
SMALLER = "fewer channels in the layers named"


def over_latency(report: Report) -> Notice | None:
    """E302 where the counted cycles exceed `[budget] latency`; None where they do not."""
    limit_s, measured_s = (report.get("budget") or {}).get("latency_s"), report["latency_s"]
    if limit_s is None or measured_s is None or measured_s <= limit_s or speed.is_modelled(report):
        return None
    measured = f"{speed.duration(measured_s)}, {report['cycles']['source']}, {_point(report)}"
    layers = report["layers"]
    slowest_rows = slowest((row["cycles"] for row in layers), located_rows(layers))
    facts = {"budget": speed.duration(limit_s), "build": measured, "most": "\n".join(slowest_rows)}
    loosen = "[budget] latency = ..., if what the run took will do"
    return notice("E302", "over budget: latency", facts, [*_others(report), SMALLER, loosen])


def _point(report: Report) -> str:
    target = report["target"]
    name = target["operating_point"]
    volts = next(p["volts"] for p in target["operating_points"] if p["name"] == name)
    return f"at {volts:.2f} V, {target['clock_hz'] / 1e6:.0f} MHz"


def slowest(cycles: Iterable[int], names: Iterable[str]) -> list[str]:
    """The slowest layers, a line each."""
    rows = sorted(zip(cycles, names, strict=True), key=lambda row: -row[0])
    return [f"{count:,} cycles  {name}" for count, name in rows[:MAX_NAMED]]


def _others(report: Report) -> list[str]:
    """Option for an operating point that meets both budgets, if there is one."""
    limits, points = report["budget"], report["energy_uj"]["points"]
    max_uj = math.inf if limits["energy_j"] is None else 1e6 * limits["energy_j"]
    fitting = (p for p in points if p["latency_s"] <= limits["latency_s"] and p["value"] <= max_uj)
    return [f"--operating-point {point['name']}" for point in fitting][:1]
