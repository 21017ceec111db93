# SPDX-License-Identifier: Apache-2.0
"""Selection of suggestions: measured variations that improve a figure, with gains and costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.extensions.sweeps.variations import Variation
from myoedge.reports import wording
from myoedge.reports.facts import value_at
from myoedge.reports.report_json import GOOD_DB, WEAK_DB, Report
from myoedge.reports.speed import duration

MOST, MOST_OF_A_KIND = 5, 2
LEAST_GAIN = 0.02  # fraction of energy or cycles
LEAST_GAIN_DB = 1.0
LEAST_MEMORY_GAIN = 0.02  # fraction of L2
LATER, OF_A_DECIBEL = 0.1, 0.05  # weights relative to the logarithm of energy
OF_A_PART = 0.2  # the same, of a part beside the chip
MOST_POINTS_LOST = 0.01  # of accuracy
BITS = ("weights", "residency")  # kinds of variations with fewer bits
PATHS = {
    "cycles": "cycles.total",
    "latency_s": "latency_s",
    "energy_uj": "energy_uj.value",
    "sqnr_db": "quantization.sqnr_db",
    "accuracy": "quantization.accuracy_int8",
    "l2_bytes": "memory.l2_peak_bytes",
    "l3_bytes": "memory.l3_bytes",
    "chip_l2_bytes": "target.l2_bytes",
}

PARTS = ("flash", "RAM")  # beside the chip: a network that needs a RAM needs a flash too

Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Suggestion:
    """A measured variation that improves a build.

    title      title of the variation
    text       title and gains: "frames = 16: 3.2 instead of 18.5 mW, 8 ms later"
    how        lines for myoedge.toml, or the command that builds it
    old, new   figures of the existing build, and of the variation
    """

    title: str
    text: str
    how: str
    old: Figures
    new: Figures


def figures(report: Report, more_mw: float = 0.0) -> dict[str, float | None]:
    """Return the figures by which suggestions are ranked: those in PATHS, the average power if
    the period is known, a stream's delay in seconds from the first sample of a pass to its outputs
    or an application's to its decision, and the number of parts beside the chip.

    more_mw   to be added to the average power
    """
    values: dict[str, float | None] = {name: value_at(report, path) for name, path in PATHS.items()}
    duty = report.get("duty") or {}
    values["average_mw"] = duty["average_mw"][0] + more_mw if duty.get("keeps_up") else None
    stream = report.get("stream")
    hops_s = stream["pass_frames"] / stream["frame_hz"] if stream and stream["frame_hz"] else 0.0
    inference_s, decision_s = values["latency_s"], report.get("decision_s")
    other_s = None if inference_s is None else inference_s + hops_s
    values["delay_s"] = other_s if decision_s is None else decision_s
    values["external_parts"] = len(report["memory"]["external"])
    return values


def suggestions(
    base: Figures, tried: Sequence[tuple[Variation, Figures]]
) -> tuple[Suggestion, ...]:
    """Return at most MOST suggestions, the best first, and few of each kind."""
    better = [
        (variation, new)
        for variation, new in tried
        if gains(base, new) and not _loses_too_much(base, new) and worth(base, new) >= LEAST_GAIN
    ]
    ranked = sorted(better, key=lambda pair: (-worth(base, pair[1]), pair[0].title))
    kinds, kept = Counter[str](), list[Suggestion]()
    for variation, new in ranked:
        kinds[variation.kind] += 1
        if kinds[variation.kind] <= MOST_OF_A_KIND and len(kept) < MOST:
            leaves_l3 = bool(base["l3_bytes"]) and new["l3_bytes"] == 0
            fit = " fit L2" * (variation.kind in BITS and leaves_l3)
            text = f"{variation.title}{fit}: {', '.join(said(base, new))}"
            kept.append(Suggestion(variation.title, text, variation.how, base, new))
    return tuple(kept)


def gains(base: Figures, new: Figures) -> bool:
    """Return whether a variation improves one of the figures by more than a negligible amount."""
    if keeps_up_now(base, new) or _saved_parts(base, new) > 0:
        return True
    costs = ("energy_uj", "cycles") if base["average_mw"] is None else ("average_mw",)
    cheaper = max(less(name, base, new) for name in costs)
    is_nearer = _gained_db(base, new) >= LEAST_GAIN_DB and (base["sqnr_db"] or 0.0) < GOOD_DB
    return cheaper >= LEAST_GAIN or _saved_l2_fraction(base, new) >= LEAST_MEMORY_GAIN or is_nearer


def _saved_l2_fraction(base: Figures, new: Figures) -> float:
    """Return the saved fraction of L2, including data streamed from L3."""
    taken = [(f["l2_bytes"] or 0) + (f["l3_bytes"] or 0) for f in (base, new)]
    return (taken[0] - taken[1]) / (base["chip_l2_bytes"] or math.inf)


def _saved_parts(base: Figures, new: Figures) -> float:
    """Return the number of parts beside the chip that only the existing build needs."""
    return (base["external_parts"] or 0) - (new["external_parts"] or 0)


def keeps_up_now(base: Figures, new: Figures) -> bool:
    """Return whether only the new build processes the stream in real time."""
    return base["average_mw"] is None and new["average_mw"] is not None


def _loses_too_much(base: Figures, new: Figures) -> bool:
    """Return whether a variation loses too much SQNR or accuracy."""
    old_db, db = base["sqnr_db"], new["sqnr_db"]
    is_weak = old_db is not None and db is not None and db < min(WEAK_DB, old_db - LEAST_GAIN_DB)
    known = base["accuracy"] is not None and new["accuracy"] is not None
    lost = (base["accuracy"] or 0.0) - (new["accuracy"] or 0.0) if known else 0.0
    return is_weak or lost > MOST_POINTS_LOST


def worth(base: Figures, new: Figures) -> float:
    """Return a suggestion's score, larger is better: logarithm of the energy or power ratio plus
    saved fraction of L2 and parts beside the chip, minus added delay, plus gained dB up to
    GOOD_DB."""
    if keeps_up_now(base, new):
        return math.inf
    power = "energy_uj" if base["average_mw"] is None else "average_mw"
    saved = _format_saving(power, base, new) + _saved_l2_fraction(base, new)
    saved += OF_A_PART * _saved_parts(base, new)
    later = -min(_format_saving("delay_s", base, new), 0.0)
    old_db, db = (min(x["sqnr_db"] or 0.0, GOOD_DB) for x in (base, new))
    return saved - LATER * later + OF_A_DECIBEL * (db - old_db)


def missing_db(sqnr_db: float | None) -> float:
    """Return the decibels up to GOOD_DB; none if the SQNR is not known."""
    return 0.0 if sqnr_db is None else max(GOOD_DB - sqnr_db, 0.0)


def _gained_db(base: Figures, new: Figures) -> float:
    return (new["sqnr_db"] or 0.0) - (base["sqnr_db"] or 0.0)


def less(name: str, base: Figures, new: Figures) -> float:
    """Return the fraction by which a figure of the new build is smaller; 0 if unknown.

    name   name of the figure
    """
    return 1.0 - math.exp(-_format_saving(name, base, new))


def _format_saving(name: str, base: Figures, new: Figures) -> float:
    old, now = base[name], new[name]
    return math.log(old / now) if old and now else 0.0


def said(base: Figures, new: Figures) -> Iterator[str]:
    """Yield the gains and costs of a variation, each as text: "3.2 instead of 18.5 mW", "-12 %
    energy", "+6.0 dB", "8 ms later"."""
    old_mw, mw = base["average_mw"], new["average_mw"]
    if mw and keeps_up_now(base, new):
        yield f"keeps up with the stream, at {wording.three_digits(mw)} mW"
    elif old_mw and mw:
        if abs(less("average_mw", base, new)) >= LEAST_GAIN / 2:
            yield f"{wording.three_digits(mw)} instead of {wording.three_digits(old_mw)} mW"
        yield from _format_db_change(base, new)
    else:
        yield from _format_db_change(base, new)
        yield from _format_percent_change("energy", "energy_uj", base, new)
        yield from _format_percent_change("cycles", "cycles", base, new)
    yield from _describe_memory(base, new)
    if old_mw or base["cycles"] == new["cycles"]:
        yield from _describe_delay(base, new)


def _format_db_change(base: Figures, new: Figures) -> Iterator[str]:
    old, now = base["accuracy"], new["accuracy"]
    if old is not None and now is not None and round(100 * (now - old), 1):
        yield f"{100 * (now - old):+.1f} points"
    won = _gained_db(base, new)
    if round(won, 1):
        yield f"{won:+.1f} dB"


def _format_percent_change(noun: str, name: str, base: Figures, new: Figures) -> Iterator[str]:
    if base[name] and round(percent := -100 * less(name, base, new)):
        yield f"{percent:+.0f} % {noun}"


def _describe_memory(base: Figures, new: Figures) -> Iterator[str]:
    """Yield the changes of the memories as text, "90 KiB less of L3", and the parts beside the chip
    that are no longer needed, "no external RAM and flash"."""
    for name, memory in (("l2_bytes", "L2"), ("l3_bytes", "L3")):
        change = round((new[name] or 0) - (base[name] or 0))
        if abs(change) >= LEAST_MEMORY_GAIN * (base["chip_l2_bytes"] or math.inf):
            yield f"{wording.size(abs(change))} {'less' if change < 0 else 'more'} of {memory}"
    needed, left = (int(f["external_parts"] or 0) for f in (base, new))
    if left < needed:
        yield f"no external {' and '.join(PARTS[left:needed][::-1])}"


def _describe_delay(base: Figures, new: Figures) -> Iterator[str]:
    """Yield the change of a stream's delay as text, "8 ms later"; nothing if it is small."""
    if base["delay_s"] and new["delay_s"]:
        later_s = new["delay_s"] - base["delay_s"]
        if abs(later_s) >= LEAST_GAIN * base["delay_s"]:
            yield f"{duration(abs(later_s))} {'later' if later_s > 0 else 'earlier'}"
