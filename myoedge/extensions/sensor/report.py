# SPDX-License-Identifier: Apache-2.0
"""Report on a recording played to a sensor application: latency, power states, power."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from myoedge.errors import Notice
from myoedge.extensions.sensor.gate_playback import accuracy_lines
from myoedge.extensions.sensor.played_panel import gate_texts
from myoedge.extensions.sensor.savings import OTHERS, STATIC, WORK, largest_share
from myoedge.numerics.arrays import Array
from myoedge.power.model import Battery, Interval
from myoedge.power.states import STATES, StatePower
from myoedge.reports import energy as joules
from myoedge.reports.budget import Broken, over_budget
from myoedge.reports.duty_lines import STATE_NAMES, battery_hours, range_by_waiting
from myoedge.reports.speed import duration
from myoedge.reports.wording import rough_percent, shares_of_clocks, three_digits, told_apart

MOST_BINS = 20  # bins of the histogram
BAR_COLUMNS = 30
LEAST_PART = 0.05  # of a state's energy, of a part that is named
NAME_COLUMNS = 10  # of lines, before the text
PARTS = ("wait", "network", "packet")  # parts of a latency, in order


def latency_s(ready_cycles: Array, packet_end_cycles: Array, clock_hz: float) -> Array:
    """Return the latency of every decision in seconds.

    ready_cycles        int [decisions]: data-ready of the last sample of each decision
    packet_end_cycles   int [decisions]: end of the last bit of its packet
    """
    ready, ended = (np.asarray(x, np.int64) for x in (ready_cycles, packet_end_cycles))
    return np.asarray((ended - ready) / clock_hz)


def latency_parts_s(
    ready_cycles: Array, packet_end_cycles: Array, passes: Array, clock_hz: float
) -> dict[str, Array]:
    """Return the parts of every decision's latency in seconds: from data-ready to the pass, the
    pass, from its end to the packet's last bit.

    passes   int [passes, 2]: first and last cycle of each pass, in order
    The pass of a decision is the first one after its last sample, unless this ended too late.
    """
    ready, ended = (np.asarray(x, np.int64) for x in (ready_cycles, packet_end_cycles))
    if not len(passes) or not len(ready):
        return {}
    started, finished = np.asarray(passes, np.int64).T
    at = np.minimum(np.searchsorted(started, ready), np.searchsorted(finished, ended) - 1)
    at = np.maximum(at, 0)
    edges = (ready, started[at], finished[at], ended)
    return {
        name: (after - before) / clock_hz
        for name, before, after in zip(PARTS, edges, edges[1:], strict=False)
    }


@dataclass(frozen=True, slots=True)
class Latency:
    """Distribution of the latencies of all decisions, in seconds.

    max_s             largest latency
    p99_s             smallest latency that at least 99 % of the decisions do not exceed
    median_s          median; the mean of the two middle ones for an even number
    edges_s, counts   histogram: [bins + 1] equally spaced edges, [bins]
    parts_s           median and maximum of each part: wait (for the pass), network, packet
    """

    max_s: float
    p99_s: float
    median_s: float
    edges_s: tuple[float, ...]
    counts: tuple[int, ...]
    parts_s: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def latency_of(latencies_s: Array, parts_s: Mapping[str, Array] | None = None) -> Latency | None:
    """Return the distribution of latencies, and of their parts; None without a decision."""
    if len(latencies_s) == 0:
        return None
    low_s, high_s = float(latencies_s.min()), float(latencies_s.max())
    # The histogram's bin width in seconds: the smallest 1, 2 or 5 times a power of ten, at least 1
    # µs, that splits a span into less than MOST_BINS bins
    span_s = high_s - low_s
    exponent = max(math.floor(math.log10(max(span_s, 1e-6) / MOST_BINS)), -6)
    steps = (digit * 10.0**power for power in range(exponent, exponent + 3) for digit in (1, 2, 5))
    step_s = next(step for step in steps if span_s / step < MOST_BINS - 1)
    first, last = math.floor(low_s / step_s), math.floor(high_s / step_s)
    bins = np.clip(np.floor(latencies_s / step_s).astype(np.int64) - first, 0, last - first)
    counts = np.bincount(bins, minlength=last - first + 1)
    return Latency(
        high_s,
        float(np.quantile(latencies_s, 0.99, method="inverted_cdf")),
        float(np.median(latencies_s)),
        tuple(n * step_s for n in range(first, last + 2)),
        tuple(map(int, counts)),
        {name: (float(np.median(x)), float(x.max())) for name, x in (parts_s or {}).items()},
    )


def over_latency(
    latency: Latency | None, limit_s: float | None, sooner: Callable[[], Sequence[str]]
) -> Notice | None:
    """Return E302 if a decision came later than [budget] latency allows; None if not, or without a
    limit.

    sooner   remedies of an application whose decision comes too late
    """
    if latency is None or limit_s is None or latency.max_s <= limit_s:
        return None
    budget, latest = told_apart(duration, limit_s, latency.max_s)
    late = f"{latest} at most, from data-ready to the packet's last bit"
    facts = {"budget": budget, "build": late}
    return over_budget([Broken("latency", facts, sooner())])


def playback_json(
    latency: Latency | None,
    power: StatePower,
    *,
    frames: int,
    samples_lost: int,
    decisions: int,
    wrong: int = 0,
    missing: int = 0,
    flagged: int = 0,
) -> dict[str, Any]:
    """Return the result of `simulate --play` as JSON values, of schema playback/1.

    frames         number of data-ready events of the recording
    samples_lost   number of samples that the application did not use
    decisions      number of decisions
    wrong          number of decisions that differ from the reference
    missing        number of decisions of the reference that were not sent
    flagged        number of decisions with a flag of an event
    """
    network_w = [joules / power.seconds for joules in power.network_j or (0.0,) * 3]
    return {
        "exact": not wrong and not missing,
        "frames": frames,
        "samples_lost": samples_lost,
        "decisions": decisions,
        "wrong_decisions": wrong,
        "missing_decisions": missing,
        "flagged_decisions": flagged,
        "latency_s": None if latency is None else _latency_json(latency),
        "power_w": _interval_json(power.power_w),
        "others_w": power.others_w,
        "network_w": _interval_json((network_w[0], network_w[1], network_w[2])),
        "energy_j": _interval_json(power.chip_j),
        "energy_per_decision_j": _energy_per_decision(power, decisions),
        "battery": power.battery and asdict(power.battery),
        "battery_h": None if power.hours is None else _interval_json(power.hours),
        "states": dict(power.states_s),
        "states_j": power.states_j,
        "parts_j": {state: dict(parts) for state, parts in power.parts_j.items()},
        "clocks_s": [*map(list, power.clocks_s)],
        "waiting": power.waiting and asdict(power.waiting),
        "waiting_w": power.waiting_w,
        "largest": asdict(largest_share(power)),
    }


def _latency_json(latency: Latency) -> dict[str, Any]:
    return {
        "max": latency.max_s,
        "p99": latency.p99_s,
        "median": latency.median_s,
        "parts": {
            name: {"median": median_s, "max": max_s}
            for name, (median_s, max_s) in latency.parts_s.items()
        },
        "histogram": {"edges": [*latency.edges_s], "counts": [*latency.counts]},
    }


def _energy_per_decision(power: StatePower, decisions: int) -> dict[str, float] | None:
    if not decisions:
        return None
    value, low, high = (x / decisions for x in power.chip_j)
    return _interval_json((value, low, high))


def _interval_json(values: Interval) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), values, strict=True))


def playback_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the result of `simulate --play` as lines of text."""
    wrong, missing = document["wrong_decisions"], document["missing_decisions"]
    verdict = f"{wrong:,} NOT equal to the reference" if wrong else "equal to the reference"
    absent = f"{missing:,} missing, " if missing else ""
    lost = document["samples_lost"]
    flagged = f"{absent}{document['flagged_decisions']:,} flagged"
    texts = enumerate(gate_texts(document.get("wake")))
    return [
        f"decisions {document['decisions']:,}, {verdict}; {flagged}",
        f"samples   {document['frames']:,}, {f'{lost:,}' if lost else 'none'} lost",
        *accuracy_lines(document.get("accuracy")),
        *[f"{'' if number else 'wake':<10}{text}" for number, text in texts],
        *_latency_lines(document["latency_s"], document.get("wake") or {}),
        *_power_lines(document),
        *_state_lines(document),
        *_saving_lines(document["largest"], document.get("savings", ())),
    ]


def _latency_lines(latency: Mapping[str, Any] | None, wake: Mapping[str, Any]) -> list[str]:
    if latency is None:
        return []
    named = ", ".join(f"{duration(latency[name])} {name}" for name in ("max", "p99", "median"))
    edges, counts = latency["histogram"]["edges"], latency["histogram"]["counts"]
    starts = told_apart(duration, *edges[:-1])
    rows = (
        f"  {start:>8}  {count:>9,}  {'#' * -(-BAR_COLUMNS * count // max(counts))}"
        for start, count in zip(starts, counts, strict=True)
        if count
    )
    medians = (f"{name} {duration(part['median'])}" for name, part in latency["parts"].items())
    whose = f"the {wake['passes']:,} with a pass:" if wake.get("resting") else "it"
    parts = f"          of {whose} {', '.join(medians)} (medians)"
    return [f"latency   {named}", *([parts] if latency["parts"] else []), *rows]


def _power_lines(document: Mapping[str, Any]) -> list[str]:
    others_w = document["others_w"]
    scope = "the chip" if others_w is None else f"with {_format_milliwatts(others_w)} of --others"
    network_w = document["network_w"]["value"]
    power_w = [document["power_w"][name] for name in ("value", "low", "high")]
    width = range_by_waiting(power_w, document["states"], document.get("waiting"))
    certainty = f"range {width}" if width else ""
    if (waiting_w := document.get("waiting_w")) is not None:  # given, and not modelled
        given = "as given by energy --sleep; energy --reset forgets it"
        certainty = f"of it {_format_milliwatts(waiting_w)} whenever the chip waits, {given}"
    lines = [
        f"power     {_format_interval(document['power_w'], 1e3, 'mW')}, {scope}",
        f"          {_format_milliwatts(network_w)} of it for the network; "
        "certainty: docs/developers/energy.md",
        *([f"          {certainty}"] if certainty else []),
    ]
    if per_decision := document["energy_per_decision_j"]:
        each = f"each of {document['decisions']:,} decisions"
        lines.append(f"energy    {joules.amount(per_decision['value'])} of the chip for {each}")
    if hours := document["battery_h"]:
        ends = [hours[name] for name in ("value", "low", "high")]
        battery = document["battery"] and Battery(**document["battery"])
        lines.append(f"battery   {battery_hours(ends, battery)}")
    return lines


def _format_interval(interval: Mapping[str, float], factor: float, unit: str) -> str:
    ends = [factor * interval[name] for name in ("value", "low", "high")]
    return joules.with_range(ends, unit)


def _format_milliwatts(watts: float) -> str:
    return f"{three_digits(1e3 * watts)} mW"


WHILE = {
    "run": "while the cluster computes",
    "control": "while the controller computes",
    "idle": "while all cores wait",
    "cluster_off": "while the cluster is off",
    "retention": "in deep sleep",
}
KINDS = {STATIC: "leakage and clocks", WORK: "instructions and data"}


def _saving_lines(
    largest: Mapping[str, Any], savings: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    state, percent = largest["state"], rough_percent(largest["share"], 1.0)
    of_chip = f"{KINDS[largest['kind']]} {WHILE.get(state)}"
    yield f"largest   {'other parts' if state == OTHERS else of_chip}: {percent} of the power"
    if not savings:
        yield "saving    none known by clock, hop or [budget] latency"
    for number, saving in enumerate(savings):
        setting = f"{saving['setting']}: about {_format_milliwatts(saving['power_w'])}"
        yield f"{'' if number else 'saving':<10}{setting}"


def state_rows(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return one row per power state of a playback: its time, share of the time, energy, and the
    parts of the chip that take most of it."""
    seconds, energy_j, parts_j = (document[x] for x in ("states", "states_j", "parts_j"))
    return [
        {
            "state": STATE_NAMES[state],
            "time": duration(seconds[state]),
            "share": rough_percent(seconds[state], sum(seconds.values())),
            "energy": joules.amount(energy_j[state]),
            "parts": ", ".join(
                f"{joules.PART_NAMES[name]} {rough_percent(part_j, energy_j[state])}"
                for name, part_j in sorted(parts_j[state].items(), key=lambda item: -item[1])
                if part_j > 0 and part_j >= LEAST_PART * energy_j[state]
            ),
        }
        for state in STATES
        if seconds[state]
    ]


def _state_lines(document: Mapping[str, Any]) -> list[str]:
    layout = "  {state:<20}{time:>9}  {share:>7}  {energy:>9}  {parts}"
    clocks = shares_of_clocks(document.get("clocks_s", ()))
    lines = [layout.format(**row) for row in state_rows(document)]
    return [*lines, f"clocks    {clocks}"] if clocks else lines


def playback_facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of a playback without tables as (name, text)."""
    facts = list[tuple[str, str]]()
    for line in playback_lines(document):
        name, text = line[:NAME_COLUMNS].strip(), line[NAME_COLUMNS:].strip()
        if not name:
            name, before = facts.pop()
            facts.append((name, f"{before}; {text}"))
        elif not line.startswith(" "):
            facts.append((name, text))
    return facts
