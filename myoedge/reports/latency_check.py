# SPDX-License-Identifier: Apache-2.0
"""What a run says of the latency that a build was held to by the model of cycles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from myoedge.errors import Notice, notice
from myoedge.operators.layer_names import located_rows
from myoedge.reports import speed

if TYPE_CHECKING:
    from myoedge.reports.rows import Report

MOST_NAMED = 3  # layers, of those that cost most
SMALLER = "fewer channels in the layers named"


def over_latency(report: Report) -> Notice | None:
    """E302 where the cycles counted take longer than `[budget] latency`; None: they do not."""
    limit_s, found_s = (report.get("budget") or {}).get("latency_s"), report["latency_s"]
    if limit_s is None or found_s is None or found_s <= limit_s or speed.is_modelled(report):
        return None
    found = f"{speed.duration(found_s)}, {report['cycles']['source']}, {_point(report)}"
    layers = report["layers"]
    most = slowest((row["cycles"] for row in layers), located_rows(layers))
    facts = {"budget": speed.duration(limit_s), "build": found, "most": "\n".join(most)}
    loosen = "[budget] latency = ..., if what the run took will do"
    return notice("E302", "over budget: latency", facts, [*_others(report), SMALLER, loosen])


def _point(report: Report) -> str:
    target = report["target"]
    name = target["operating_point"]
    volts = next(p["volts"] for p in target["operating_points"] if p["name"] == name)
    return f"at {volts:.2f} V, {target['clock_hz'] / 1e6:.0f} MHz"


def slowest(cycles: Iterable[int], names: Iterable[str]) -> list[str]:
    """The layers that cost most, a line each."""
    rows = sorted(zip(cycles, names, strict=True), key=lambda row: -row[0])
    return [f"{count:,} cycles  {name}" for count, name in rows[:MOST_NAMED]]


def _others(report: Report) -> list[str]:
    """The option of an operating point that keeps latency and energy, if there is one."""
    limits, points = report["budget"], report["energy_uj"]["points"]
    most_uj = math.inf if limits["energy_j"] is None else 1e6 * limits["energy_j"]
    keep = (p for p in points if p["latency_s"] <= limits["latency_s"] and p["value"] <= most_uj)
    return [f"--operating-point {point['name']}" for point in keep][:1]
