# SPDX-License-Identifier: Apache-2.0
"""Selection of suggestions: measured variations that improve a figure, with gains and costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from myoedge.extensions.sweeps.figures import (
    LEAST_GAIN,
    LEAST_MEMORY_GAIN,
    FigureChanges,
    Figures,
    changes,
    keeps_up_now,
    memory_bytes,
)
from myoedge.extensions.sweeps.variations import Variation
from myoedge.reports.report_json import GOOD_DB, WEAK_DB

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
