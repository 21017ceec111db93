# SPDX-License-Identifier: Apache-2.0
"""Selection of suggestions: measured variations that improve a figure, with gains and costs; the
order in which they are measured, those that can gain most first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from myoedge.building.operating_points import application_points, cheapest
from myoedge.extensions.sweeps.figures import (
    LEAST_GAIN,
    LEAST_MEMORY_GAIN,
    FigureChanges,
    Figures,
    changes,
    keeps_up_now,
    memory_bytes,
)
from myoedge.extensions.sweeps.variations import FEW_BITS, Arguments, Variation, path_of
from myoedge.numerics.element_type import INT8
from myoedge.power.model import Coefficients
from myoedge.reports import near_memory
from myoedge.reports.energy import as_point, average_mw
from myoedge.reports.period import clocked_by
from myoedge.reports.report_json import GOOD_DB, WEAK_DB, Report
from myoedge.reports.speed import layer_cycles
from myoedge.targets import ACCELERATOR, find_chip
from myoedge.targets.chip import AUTO_POINT, OperatingPoint

MOST, MOST_OF_A_KIND = 5, 2
LEAST_GAIN_DB = 1.0
LATER, OF_A_DECIBEL = 0.1, 0.05  # weights relative to the logarithm of energy
OF_A_PART = 0.2  # the same, of a part beside the chip
MOST_POINTS_LOST = 0.01  # of accuracy
BITS = ("weights", "residency", "search")  # kinds of variations with fewer bits


@dataclass(frozen=True)
class Suggestion:
    """A measured variation that improves a build.

    title          title of the variation
    text           title, gains and costs: "frames = 16: 3.2 instead of 18.5 mW; costs: 8 ms later"
    how            lines for myoedge.toml, the command that builds it, or both
    old, new       figures of the existing build, and of the variation
    gains, costs   figures that are better and worse, as text
    """

    title: str
    text: str
    how: str
    old: Figures
    new: Figures
    gains: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()


def suggestions(
    base: Figures, tried: Sequence[tuple[Variation, Figures]]
) -> tuple[Suggestion, ...]:
    """Return at most MOST suggestions, the best first, few of each kind; of variations that change
    the figures alike the one with the fewest settings."""
    alike = dict[FigureChanges, tuple[Variation, Figures]]()
    for variation, new in sorted(tried, key=lambda pair: (pair[0].settings_count, pair[0].title)):
        if (
            is_better(base, new)
            and not _loses_too_much(base, new)
            and worth(base, new) >= LEAST_GAIN
        ):
            alike.setdefault(changes(base, new), (variation, new))
    ranked = sorted(alike.items(), key=lambda item: (-worth(base, item[1][1]), item[1][0].title))
    kinds, kept = Counter[str](), list[Suggestion]()
    for found, (variation, new) in ranked:
        kinds[variation.kind] += 1
        if kinds[variation.kind] <= MOST_OF_A_KIND and len(kept) < MOST:
            fit = " fit L2" * (variation.kind in BITS and _behind_l2(base) > 0 == _behind_l2(new))
            text = f"{variation.title}{fit}: {found.text}"
            rest = found.gains, found.costs
            kept.append(Suggestion(variation.title, text, variation.how, base, new, *rest))
    return tuple(kept)


def _behind_l2(build: Figures) -> float:
    """Return the bytes in memories behind L2."""
    return memory_bytes(build) - (build["l2_bytes"] or 0)


def is_better(base: Figures, new: Figures) -> bool:
    """Return whether a variation improves one of the figures by more than a negligible amount."""
    if keeps_up_now(base, new) or _saved_parts(base, new) > 0:
        return True
    costs = ("energy_uj", "cycles") if base["average_mw"] is None else ("average_mw",)
    cheaper = max(1.0 - math.exp(-_saving(name, base, new)) for name in costs)
    old_db, db = base["sqnr_db"] or 0.0, new["sqnr_db"] or 0.0
    is_nearer = db - old_db >= LEAST_GAIN_DB and old_db < GOOD_DB
    return cheaper >= LEAST_GAIN or _saved_l2_fraction(base, new) >= LEAST_MEMORY_GAIN or is_nearer


def _saved_l2_fraction(base: Figures, new: Figures) -> float:
    """Return the saved fraction of L2, including data in memories behind it."""
    return (memory_bytes(base) - memory_bytes(new)) / (base["chip_l2_bytes"] or math.inf)


def _saved_parts(base: Figures, new: Figures) -> float:
    """Return the number of parts beside the chip that only the existing build needs."""
    return (base["external_parts"] or 0) - (new["external_parts"] or 0)


def _loses_too_much(base: Figures, new: Figures) -> bool:
    """Return whether a variation loses too much SQNR or accuracy, or no longer keeps up."""
    old_db, db = base["sqnr_db"], new["sqnr_db"]
    is_weak = old_db is not None and db is not None and db < min(WEAK_DB, old_db - LEAST_GAIN_DB)
    known = base["accuracy"] is not None and new["accuracy"] is not None
    lost = (base["accuracy"] or 0.0) - (new["accuracy"] or 0.0) if known else 0.0
    return is_weak or lost > MOST_POINTS_LOST or keeps_up_now(new, base)


def worth(base: Figures, new: Figures) -> float:
    """Return a suggestion's score, larger is better: logarithm of the energy or power ratio plus
    saved fraction of L2 and parts beside the chip, minus added delay, plus gained dB up to
    GOOD_DB."""
    if keeps_up_now(base, new):
        return math.inf
    power = "energy_uj" if base["average_mw"] is None else "average_mw"
    saved = _saving(power, base, new) + _saved_l2_fraction(base, new)
    saved += OF_A_PART * _saved_parts(base, new)
    later = -min(_saving("delay_s", base, new), 0.0)
    old_db, db = (min(x["sqnr_db"] or 0.0, GOOD_DB) for x in (base, new))
    return saved - LATER * later + OF_A_DECIBEL * (db - old_db)


def missing_db(sqnr_db: float | None) -> float:
    """Return the decibels up to GOOD_DB; none if the SQNR is not known."""
    return 0.0 if sqnr_db is None else max(GOOD_DB - sqnr_db, 0.0)


def _saving(name: str, base: Figures, new: Figures) -> float:
    """Return the logarithm of a figure's ratio, old to new; 0 if one is not known."""
    old, now = base[name], new[name]
    return math.log(old / now) if old and now else 0.0


# --- order ----------------------------------------------------------------------------------------


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
    cycles = {**report["cycles"], "total": 0, "outside_layers": 0}
    memory = {**report["memory"], "levels": {}}
    idle = {**report, "layers": [], "cycles": cycles, "memory": memory}
    if not clocked_by(report):
        return min(average_mw(idle, point, by) for point in points)
    if given is not None:
        return average_mw(idle, given, by)
    planned = application_points(idle, find_chip(report["target"]["chip"]), by)
    name = cheapest(planned, (report.get("budget") or {}).get("latency_s"))
    return next(mw for other, _, mw in planned if other == name)
