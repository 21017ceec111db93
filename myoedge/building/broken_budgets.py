# SPDX-License-Identifier: Apache-2.0
"""Limits of [budget] that a finished build exceeds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from myoedge.building.budget import Budget
from myoedge.building.precision import missed_outputs, needs_db
from myoedge.errors import raised
from myoedge.numerics.element_type import INT16
from myoedge.operators.layer_names import located
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.state import NO_ROOM
from myoedge.reports.budget import (
    MAX_NAMED,
    Broken,
    broken,
    broken_limits,
    over_budget,
)
from myoedge.reports.period import clocked_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from myoedge.graph.ir import Graph
    from myoedge.reports.report_json import Report

NO_SIGNAL = "no SQNR: errors, and a float output that is 0 in every measured sample"
SIGNAL = "samples in which the output is not 0, in --calib or --test"
METHODS = "--method mse or percentile; myoedge quantize shows the noise of every layer"


def check(
    budget: Budget,
    report: Report,
    network: QuantGraph,
    fidelity: Fidelity,
    *,
    sooner: Callable[[Report], Sequence[str]],
    short: Broken | None = None,
    reused: bool = False,
) -> None:
    """Raise E302 that lists all exceeded limits of a build: latency, energy, SQNR and memory.

    report   report with cycles and energy, estimated or simulated, and the limits under "budget"
    sooner   remedies of an application whose decision comes too late
    short    memory that is too small; the report is then for a plan with the whole memory
    reused   whether the int16 tensors come from an older build
    """
    late = [
        replace(one, tries=sooner(report)) if one.name == "latency" and clocked_by(report) else one
        for one in broken_limits(report)
    ]
    judged = (short, *late, _sqnr_error(budget, report, network, fidelity, reused))
    found = [one for one in judged if one is not None]
    if found:
        raise raised(over_budget(found, short))


def _sqnr_error(
    budget: Budget, report: Report, network: QuantGraph, fidelity: Fidelity, reused: bool
) -> Broken | None:
    asked = budget.outputs_sqnr_db if budget.sqnr_db is None else budget.sqnr_db
    missed = missed_outputs(needs_db(asked, network.graph), fidelity)
    if not missed:
        return None
    rows = ((fidelity.local.get(result), name) for result, name in located(network.layers).items())
    noisiest = sorted((db, name) for db, name in rows if db is not None)[:MAX_NAMED]
    remedies = [METHODS] if _silent(missed, fidelity) != [*missed] else [SIGNAL]
    too_low = broken(
        "sqnr",
        *_required_and_reached(budget, network.graph, missed, fidelity),
        [f"{db:z.1f} dB  {name}" for db, name in noisiest],
        remedies,
    )
    trials = _describe_int16_trials(report, network, reused)
    facts = {title: text for title, text in too_low.facts.items() if text}
    return replace(too_low, facts={**facts, "16 bits": trials})


def _describe_int16_trials(report: Report, network: QuantGraph, reused: bool) -> str:
    """Describe, for a message, whether int16 was tried and how many tensors use it."""
    wide = sum(network.element_type(step.node.name) == INT16 for step in network.steps)
    have = f"{wide} tensor has them" if wide == 1 else f"{wide} tensors have them"
    if reused:
        return f"not tried: --reuse keeps the older build's choice; {have}"
    choices = report["quantization"].get("choices", ())
    if any(choice["remedy"] == f"16 bits, {NO_ROOM}" for choice in choices):
        return f"tried: {NO_ROOM}; {have}"
    if not wide:
        return "tried: no gain"
    return f"tried where they gain most: {have}; more bring no gain"


def _required_and_reached(
    budget: Budget, graph: Graph, missed: Mapping[str, tuple[float, float]], fidelity: Fidelity
) -> tuple[str, str]:
    """Return texts of the required and the reached SQNR: "25 dB" and "22.3 dB", or per output
    "scores 30 dB" and "scores 22.3 dB"; of an output that is 0 in every sample "no signal"."""
    texts = {name: f"{db:z.1f} dB" for name, (_, db) in missed.items()}
    texts |= dict.fromkeys(_silent(missed, fidelity), NO_SIGNAL)
    if budget.sqnr_db is not None:
        return f"{budget.sqnr_db:g} dB", texts[min(missed, key=lambda name: missed[name][1])]
    names = graph.label_of
    needs = ", ".join(f"{names[tensor]} {db:g} dB" for tensor, (db, _) in missed.items())
    return needs, ", ".join(f"{names[tensor]} {text}" for tensor, text in texts.items())


def _silent(missed: Iterable[str], fidelity: Fidelity) -> list[str]:
    """Return the missed outputs whose exact values are 0 in every measured sample."""
    known = fidelity.outputs
    return [name for name in missed if name in known and known[name].db is None]
