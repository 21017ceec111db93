# SPDX-License-Identifier: Apache-2.0
"""The limits of [budget] in a report: which it exceeds, and the cost of each that it meets, such as
more energy for less latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from myoedge.errors import Notice, notice
from myoedge.operators.layer_names import located_rows
from myoedge.reports import energy as joules
from myoedge.reports import near_memory, speed, wording
from myoedge.reports.period import built_point, decision, limited_s, mean_mw
from myoedge.reports.report_json import Report
from myoedge.reports.speed import duration

if TYPE_CHECKING:
    from myoedge.reports.report_json import Report


MARGIN = 1.01  # of a latency that is suggested as limit
LITTLE_LESS = 0.98  # of a power: a limit that costs less than this is not weighed
MAX_NAMED = 3  # most expensive layers that are named
SMALLER = "fewer channels in the layers named"
# Parts of remedies that lose something, the least first; others keep network and weights.
LOSSES = ("[quant]", SMALLER, "--target host")


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit of [budget] that a build exceeds, with the texts of an error message.

    name          name of the limit
    facts         limit and value of the build, as text
    tries         remedies
    code, title   code and title of the error, if no other limit is exceeded
    """

    name: str
    facts: Mapping[str, str]
    tries: Sequence[str]
    code: str = "E302"
    title: str = ""


def broken(name: str, budget: str, build: str, layers: Iterable[str], tries: list[str]) -> Broken:
    """Return an exceeded budget, with the most expensive layers in its facts.

    name            name of the budget
    budget, build   the limit, and the build's value, as text
    layers          the most expensive layers, as text
    tries           remedies
    """
    return Broken(name, {"budget": budget, "build": build, "most": "\n".join(layers)}, tries)


def over_budget(found: Sequence[Broken], short: Broken | None = None) -> Notice:
    """Return the error E302 with all exceeded budgets, or the more specific error if there is only
    one.

    short   the memory that is too small; other limits were then checked with all of the chip's
            memory
    """
    tries = _remedies(found)
    names = [one.name for one in found]
    title = f"over budget: {', '.join(names)}"
    if len(found) == 1:
        return notice(found[0].code, found[0].title or title, found[0].facts, tries)
    facts = {f"{one.name}, {key}": text for one in found for key, text in one.facts.items()}
    if short is not None:
        facts["judged"] = f"{', '.join(names[1:])}: with all memory"
    return notice("E302", title, facts, tries)


def lossless_first(tries: Iterable[str]) -> list[str]:
    """Return remedies, each once: those that keep the network and all bits of its weights first."""
    losses = {x: [n for n, loss in enumerate(LOSSES, 1) if loss in x] or [0] for x in tries}
    return sorted(losses, key=lambda x: max(losses[x]))


def _remedies(found: Sequence[Broken]) -> list[str]:
    """Return the remedies of all exceeded budgets, and limits that are the build's values."""
    tries = lossless_first(chain.from_iterable(one.tries for one in found))
    loose = [one.name for one in found if "build" in one.facts]
    if loose:
        values = f"value{'s' * (len(loose) > 1)}"
        tries.append(f"[budget] {', '.join(loose)} = ..., if the build's {values} will do")
    return tries


def over_goals(report: Report) -> Notice | None:
    """Return E302 if a run took more time or energy than [budget] allows; None if it did not, or
    was not run."""
    found = [] if speed.is_modelled(report) else broken_limits(report)
    return over_budget(found) if found else None


def broken_latency(report: Report) -> Broken | None:
    """Return the latency budget if the report exceeds it, of an application its decision, without
    remedies; otherwise None."""
    limit_s, latency_s = _budget_limit(report, "latency_s"), report["latency_s"]
    found, taken_s = decision(report), limited_s(report)
    if taken_s is None or taken_s <= limit_s:
        return None
    budget, build = wording.told_apart(speed.duration, limit_s, taken_s)
    if found is not None:
        parts = {"network": latency_s, "samples, window, bus and packet": taken_s - latency_s}
        rows = sorted(parts.items(), key=lambda row: -row[1])
        most = [f"{speed.duration(seconds)}  {name}" for name, seconds in rows]
        return broken("latency", budget, f"{build}, {found[1]}, at {_point_text(report)}", most, [])
    layers = slowest(speed.cycles_by_layer(report), located_rows(report["layers"]))
    if waits := sum(map(speed.waiting, report["layers"])):
        layers.append(
            f"{waits:,} cycles of all layers: waiting for transfers; a larger --l2 keeps more there"
        )
    return broken(
        "latency",
        budget,
        f"{build}, {_source_of_figures(report)}",
        layers,
        [*_other_point_option(report), SMALLER],
    )


def broken_energy(report: Report) -> Broken | None:
    """Return the energy budget if the report exceeds it; otherwise None."""
    limit_j, energy_uj = _budget_limit(report, "energy_j"), report["energy_uj"]
    if energy_uj is None or energy_uj["value"] <= limit_j * joules.MICRO:
        return None
    rows = zip(report["layers"], located_rows(report["layers"]), strict=True)
    most = sorted(rows, key=lambda pair: -(pair[0]["energy_uj"] or 0.0))[:MAX_NAMED]
    energy_j = energy_uj["value"] / joules.MICRO
    budget, build = wording.told_apart(joules.amount, limit_j, energy_j)
    ends = joules.in_joules(energy_uj).partition(" (")[2]
    return broken(
        "energy",
        budget,
        f"{build} ({ends}, {_source_of_figures(report)}",
        [f"{joules.of_result(row)}  {name}" for row, name in most],
        [*_other_point_option(report), SMALLER],
    )


def broken_limits(report: Report) -> list[Broken]:
    """Return the limits of latency and energy that the report exceeds."""
    limits = report.get("budget") or {}
    judged = {"latency_s": broken_latency, "energy_j": broken_energy}
    found = (find(report) for name, find in judged.items() if limits.get(name) is not None)
    return [one for one in found if one is not None]


def _budget_limit(report: Report, name: str) -> float:
    """Return a limit of [budget] as in the report; infinite if there is none."""
    limit: float | None = (report.get("budget") or {}).get(name)
    return math.inf if limit is None else limit


def _source_of_figures(report: Report) -> str:
    """Return the source and operating point of the figures: "simulated, at 0.80 V, 370 MHz"."""
    return f"{report['cycles']['source']}, at {_point_text(report)}"


def _point_text(report: Report) -> str:
    """Return the operating point as text: "0.65 V, 240/10 MHz"."""
    point = built_point(report)
    return wording.at_point(point["volts"], point["clock_hz"], point.get("waiting_hz", 0))


def slowest(cycles: Iterable[int], names: Iterable[str]) -> list[str]:
    """Return the names and cycles of the most expensive layers, one per line."""
    rows = sorted(zip(cycles, names, strict=True), key=lambda row: -row[0])
    return [f"{count:,} cycles  {name}" for count, name in rows[:MAX_NAMED]]


def _other_point_option(report: Report) -> list[str]:
    """Return the option for the first operating point that meets the limits; [] if none does."""
    most_s, most_j = _budget_limit(report, "latency_s"), _budget_limit(report, "energy_j")
    points = (joules.energy_row(report) or {"points": ()})["points"]
    return [
        f"--operating-point {point['name']}"
        for point in points
        if point["latency_s"] <= most_s and point["value"] <= most_j * joules.MICRO
    ][:1]


# --- costs of the limits --------------------------------------------------------------------------


MEMORIES = ("l1", "l2", "l3", "flash")


def budget_lines(report: Report) -> list[str]:
    """Return one line per limit: "latency 5 ms: takes 3.21 ms; 41 % more energy than at low, in
    4.96 ms"."""
    limits = report.get("budget") or {}
    return [
        line
        for name in goals(limits)
        for line in (
            FINDINGS[name](report, limits)
            if name in FINDINGS
            else _memory_finding(report, limits, name)
        )
    ]


def goals(limits: Mapping[str, Any]) -> list[str]:
    """Return the names of the limits that [budget] sets."""
    known = {
        "latency": limits.get("latency_s"),
        "energy": limits.get("energy_j"),
        "sqnr": limits.get("outputs_sqnr_db") or limits.get("sqnr_db"),
        **{name: limits.get(f"{name}_bytes") for name in MEMORIES},
    }
    return [name for name, value in known.items() if value is not None]


def _time_finding(report: Report, limits: Mapping[str, Any]) -> Iterator[str]:
    if report["latency_s"] is None:
        return
    line = f"latency {duration(limits['latency_s'])}: "
    if (found := decision(report)) is not None:
        taken = f"{duration(found[0])}, {found[1]}"
        yield f"{line}a decision takes {taken}{_power_of_latency(report)}"
        return
    line += f"takes {duration(report['latency_s'])}"
    points = (joules.energy_row(report) or {"points": ()})["points"]
    least = min(points, key=lambda point: point["value"], default=None)
    if least is None or least["value"] >= points[0]["value"]:
        yield line
        return
    more = wording.rough_percent(points[0]["value"] - least["value"], least["value"])
    late = "" if least["latency_s"] <= limits["latency_s"] else ", too late"
    taken = duration(least["latency_s"])
    yield f"{line}; {more} more energy than at {least['name']}, which takes {taken}{late}"


def _power_of_latency(report: Report) -> str:
    """Describe what [budget] latency costs an application: ", at 0.65 V, 80 MHz: 5.3 mW; with 2.13
    ms 3.71 mW at 10 MHz"."""
    if (mw := mean_mw(report)) is None:
        return ""
    text = f", at {_point_text(report)}: {wording.three_digits(mw)} mW"
    if (free_mw := mean_mw(report, without="latency")) is None:
        return text
    free = report["target"]["without_limits"]["latency"]
    if free["decision_s"] <= report["budget"]["latency_s"] or free_mw > LITTLE_LESS * mw:
        return f"{text}; a longer limit saves hardly any"
    limit = longer_latency(free["decision_s"])
    return f"{text}; with {limit} {wording.three_digits(free_mw)} mW at {free['name']}"


def longer_latency(decision_s: float) -> str:
    """Format a limit of latency that a decision meets with some margin: "2.13 ms"."""
    return f"{1e3 * MARGIN * decision_s:.3g} ms"


def _energy_finding(report: Report, limits: Mapping[str, Any]) -> Iterator[str]:
    row = joules.energy_row(report)
    if row is None:
        return
    line = f"energy {joules.amount(limits['energy_j'])}: takes {joules.in_joules(row)}"
    fastest = min(row["points"], key=lambda point: point["latency_s"])
    if fastest["latency_s"] < report["latency_s"]:
        taken = duration(fastest["latency_s"])
        line += f"; {duration(report['latency_s'])} instead of {taken} at {fastest['name']}"
    yield line


def _sqnr_finding(report: Report, limits: Mapping[str, Any]) -> Iterator[str]:
    asked = limits.get("outputs_sqnr_db") or limits["sqnr_db"]
    q = report["quantization"]
    kept = (c["more_cycles"] for c in reversed(q.get("choices", ())) if c["kept"])
    more = next(kept, 0.0)
    cost = f"{wording.rough_percent(more, 1.0)} more cycles than int8, estimated"
    cost = cost if more else "no cycles"
    if isinstance(asked, int | float):
        text, keeps = f"{asked:g} dB", wording.decibels(q["sqnr_db"])
    else:
        found = {port["name"]: port.get("sqnr_db") for port in report["outputs"]}
        text = ", ".join(f"{name} {db:g} dB" for name, db in asked.items())
        keeps = ", ".join(f"{name} {wording.decibels(found.get(name))}" for name in asked)
    yield f"SQNR {text}: keeps {keeps}, for {cost}"


FINDINGS: Mapping[str, Callable[[Report, Mapping[str, Any]], Iterator[str]]] = {
    "latency": _time_finding,
    "energy": _energy_finding,
    "sqnr": _sqnr_finding,
}


def _memory_use(report: Report, name: str) -> tuple[str, int | None]:
    """Return the name of a limited memory in texts, and its bytes in use; None if unknown."""
    memory = report["memory"]
    return {
        "l1": ("L1", memory.get("l1_peak_bytes")),
        "l2": (near_memory.name(report), near_memory.bytes_in_use(report)),
        "l3": ("L3", memory.get("l3_bytes")),
        "flash": ("flash", near_memory.used_bytes(near_memory.flash_sizes(report))),
    }[name]


def _memory_finding(report: Report, limits: Mapping[str, Any], name: str) -> Iterator[str]:
    limit = limits[f"{name}_bytes"]
    title, used = _memory_use(report, name)
    line = f"{title} {wording.size(limit)}: takes {wording.size(used)}"
    more = (limits.get("more_cycles") or {}).get(name)
    if more is None:
        yield line
        return
    cost = wording.rough_percent(more, 1.0) if more > 0 else ""
    cost = f"{cost} more cycles than with all of it, estimated" if cost else "no cycles"
    yield f"{line}, for {cost}"
