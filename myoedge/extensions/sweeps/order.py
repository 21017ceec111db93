# SPDX-License-Identifier: Apache-2.0
"""Order in which `advise` measures variations: those that can gain most come first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from myoedge.building.operating_points import application_points, cheapest
from myoedge.extensions.sweeps.figures import LEAST_GAIN
from myoedge.extensions.sweeps.suggestions import (
    BITS,
    OF_A_DECIBEL,
    OF_A_PART,
    missing_db,
)
from myoedge.extensions.sweeps.variations import FEW_BITS, Arguments, Variation, path_of
from myoedge.numerics.element_type import INT8
from myoedge.power.model import Coefficients
from myoedge.reports import near_memory
from myoedge.reports.energy import as_point, average_mw
from myoedge.reports.period import clocked_by
from myoedge.reports.report_json import Report
from myoedge.reports.speed import layer_cycles
from myoedge.targets import ACCELERATOR, find_chip
from myoedge.targets.chip import AUTO_POINT, OperatingPoint

POWER = ("frames", "operating point")  # kinds that change more than the network's work
PRECISE = ("16 bits", "ranges")  # kinds that gain SQNR
STORED = (*BITS, "memory")  # kinds that change where weights are stored
SAVED_BITS = 1 - FEW_BITS / INT8.bits  # largest saved fraction of the weights' bytes


def ordered(
    asked: Iterable[Variation], report: Report, by: Coefficients, arguments: Arguments
) -> tuple[list[Variation], list[Variation]]:
    """Return the variations that are worth a build, those first that can gain most, and those that
    can gain less than LEAST_GAIN.

    report      report of the unchanged build, simulated
    arguments   arguments of api.build
    """
    share = network_share(report, by, arguments)
    most = [(most_gained(one, report, share), one) for one in asked]
    ranked = sorted(most, key=lambda pair: -pair[0])
    return (
        [one for gain, one in ranked if gain >= LEAST_GAIN],
        [one for gain, one in ranked if gain < LEAST_GAIN],
    )


def most_gained(variation: Variation, report: Report, share: float) -> float:
    """Return the largest score that a variation can have, as `suggestions.worth` counts it.

    share   of the network in the average power
    """
    if variation.kind in POWER or share >= 1:
        return math.inf
    gain = -math.log1p(-share * _most_of_work(variation, report))
    if variation.kind in PRECISE:
        gain += OF_A_DECIBEL * missing_db(report["quantization"]["sqnr_db"])
    if variation.kind in STORED:
        memory, l2_bytes = report["memory"], report["target"]["l2_bytes"]
        weights = sum(row["weights_bytes"] or 0 for row in report["layers"])
        moved = SAVED_BITS * weights + (memory["l3_bytes"] or 0)
        gain += OF_A_PART * len(memory["external"]) + moved / (l2_bytes or math.inf)
    return gain


def _most_of_work(variation: Variation, report: Report) -> float:
    """Return the largest fraction of the network's work that a variation can save: of layers on
    the accelerator that move to the cores all, of layers with fewer bits that are in L2 what
    the bits save."""
    rows, patterns = report["layers"], [*variation.tables.get("quant", ())]
    cycles = [layer_cycles(row) or 0 for row in rows]
    if variation.kind == "engine":
        return _share(cycles, [row["engine"] == ACCELERATOR.name for row in rows])
    if variation.kind not in BITS or near_memory.levels(report):
        return 1.0
    paths = [path_of(row) for row in rows]
    named = [any(fnmatchcase(path, pattern) for pattern in patterns) for path in paths]
    return SAVED_BITS * _share(cycles, named)


def _share(cycles: Iterable[int], chosen: Iterable[bool]) -> float:
    pairs = [*zip(cycles, chosen, strict=True)]
    return sum(x for x, is_chosen in pairs if is_chosen) / max(sum(x for x, _ in pairs), 1)


def network_share(report: Report, by: Coefficients, arguments: Arguments) -> float:
    """Return the fraction of the average power that a network without work would save, at the
    clock that its application would then have; 1 if no average power is known."""
    duty = report.get("duty")
    if not duty or not duty["keeps_up"]:
        return 1.0
    target = report["target"]
    points = [as_point(row) for row in target["operating_points"]]
    now = next(point for point in points if point.name == target["operating_point"])
    is_free = arguments.get("operating_point") in (None, AUTO_POINT)
    idle_mw = _idle_mw(report, by, points, None if is_free else now)
    return max(1.0 - idle_mw / average_mw(report, now, by), 0.0)


def _idle_mw(
    report: Report, by: Coefficients, points: Sequence[OperatingPoint], given: OperatingPoint | None
) -> float:
    """Return the average power as if the network had no layers, and no weights behind L2.

    given   operating point of an application; None: the one that it would choose
    """
    cycles, memory = {**report["cycles"], "total": 0}, {**report["memory"], "levels": {}}
    idle = {**report, "layers": [], "cycles": cycles, "memory": memory}
    if not clocked_by(report):
        return min(average_mw(idle, point, by) for point in points)
    if given is not None:
        return average_mw(idle, given, by)
    planned = application_points(idle, find_chip(report["target"]["chip"]), by)
    name = cheapest(planned, (report.get("budget") or {}).get("latency_s"))
    return next(mw for other, _, mw in planned if other == name)
