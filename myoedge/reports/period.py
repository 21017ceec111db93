# SPDX-License-Identifier: Apache-2.0
"""Period of a build's network and its time at a clock, by its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.power.duty import ControlCycles
from myoedge.targets import find_chip
from myoedge.targets.program import made_hz

STREAM = "stream"  # what sets the period of a build with a rate of frames
DECISIONS = {  # of the time that an application's decision takes
    "planned": "planned",
    "played": "the longest of the last playback",
}


def clocked_by(report: Mapping[str, Any]) -> str:
    """Return the name of the application that sets clock and period; "" if none does."""
    set_by: str = (report.get("period") or {}).get("set_by", STREAM)
    return "" if set_by == STREAM else set_by


def built_point(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row of the operating point that a report's figures are of."""
    target = report["target"]
    points: list[Mapping[str, Any]] = target["operating_points"]
    return next(row for row in points if row["name"] == target["operating_point"])


def at_clock(report: Mapping[str, Any], clock_hz: int) -> Mapping[str, Any]:
    """Return the report with the cycles of layers and inference at a clock of the chip: those that
    were counted or estimated at `cycles.clock_hz`, with other waits for memories that have their
    own clock, as the cost model estimates them for the plan of the build."""
    counts = report["cycles"]
    rows = counts.get("waits")
    if not rows:
        return report
    program = find_chip(report["target"]["chip"]).program
    clocks_hz = (made_hz(program, hz) for hz in (counts["clock_hz"], clock_hz))
    here, there = (
        next((row for row in rows if hz <= row["to_hz"]), rows[-1])["layers"] for hz in clocks_hz
    )
    layers = [*map(_waiting_longer, report["layers"], here, there)]
    key = "cycles_modelled" if counts["source"] == "modelled" else "cycles"
    total = counts["outside_layers"] + sum(row[key] for row in layers)
    return {**report, "layers": layers, "cycles": {**counts, "total": total}}


def _waiting_longer(row: Mapping[str, Any], here: int, there: int) -> Mapping[str, Any]:
    """Return the row of a layer that waits for other cycles than `here`."""
    keys = ("cycles",) if row["cycles"] is not None else ("cycles_modelled", "waiting_modelled")
    changed = {key: max(row[key] + there - here, 0) for key in keys}
    if row.get("activity"):
        changed["activity"] = {**row["activity"], "cycles": changed["cycles"]}
    return {**row, **changed}


def at_other_clocks(report: Mapping[str, Any]) -> str:
    """Tell which figures of other operating points are estimated: "counted at 370 MHz, at other
    clocks with estimated waits for MRAM by this build's plan"; "" if all are counted."""
    counts, chip = report["cycles"], find_chip(report["target"]["chip"])
    if not counts or not counts.get("waits"):
        return ""
    stored = report["memory"]["levels"]
    levels = (level for level in (*chip.levels, *chip.optional_levels) if level.clock)
    names = " and ".join(level.name.upper() for level in levels if stored.get(level.name))
    made = "estimated" if counts["source"] == "modelled" else "counted"
    return (
        f"{made} at {counts['clock_hz'] / 1e6:g} MHz, at other clocks with estimated waits for "
        f"{names} by this build's plan"
    )


def inference_s(report: Mapping[str, Any], clock_hz: int) -> float:
    """Return the seconds of an inference, or of a pass, at a clock of the chip."""
    total: int = at_clock(report, clock_hz)["cycles"]["total"]
    return total / clock_hz


def period_s(report: Mapping[str, Any]) -> float | None:
    """Return the period of inferences in seconds: as given by `energy --every`, otherwise the
    build's own; None if unknown."""
    given_s: float | None = (report.get("every") or {}).get("period_s")
    return given_s or own_period_s(report)


def control_cycles(report: Mapping[str, Any]) -> ControlCycles:
    """Return the controller's planned cycles between inferences; none without an application."""
    period = report.get("period") or {}
    return ControlCycles(period.get("control_cycles", 0), period.get("receiving_cycles", 0))


def rest(report: Mapping[str, Any]) -> tuple[float, int]:
    """Return the share of the periods in which the network is expected to rest, and the number of
    layers that run nevertheless; (0.0, 0) without a gate."""
    period = report.get("period") or {}
    return period.get("rest_share", 0.0), period.get("rest_layers", 0)


def decision(report: Mapping[str, Any]) -> tuple[float, str] | None:
    """Return the seconds from a window's last sample to an application's decision, and as text
    whether they are planned or played; None without an application."""
    seconds: float | None = report.get("decision_s")
    source = report.get("decision_source", "planned")
    count = (report.get("played") or {}).get("decisions", 0)
    if source == "played" and count:
        text = f"the longest of {count:,} played decisions"
    else:
        text = DECISIONS[source]
    return None if seconds is None else (seconds, text)


def limited_s(report: Mapping[str, Any]) -> float | None:
    """Return the seconds that limits of latency limit: of an application its decision, otherwise an
    inference; None if not known."""
    found, inference_s = decision(report), report.get("latency_s")
    return inference_s if found is None else found[0]


def mean_mw(report: Mapping[str, Any], without: str = "") -> float | None:
    """Return the average power of an application, played if it was; None if it is not known.

    without   "energy" or "latency": about what it would be without this limit of [budget], the
              played power changed as planned powers change
    """
    duty = report.get("duty") or {}
    planned_mw: float | None = duty.get("planned_mw")
    other_mw = duty.get("without_mw", {}).get(without) if without else planned_mw
    if planned_mw is None or other_mw is None:
        return None
    return float(duty["average_mw"][0] + other_mw - planned_mw)


def own_period_s(report: Mapping[str, Any]) -> float | None:
    """Return the period that the sensor or the stream's rate sets, in seconds; None if neither
    does."""
    seconds: float | None = (report.get("period") or {}).get("seconds")
    return seconds
