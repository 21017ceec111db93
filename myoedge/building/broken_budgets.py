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
    broken_energy,
    broken_latency,
    over_budget,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myoedge.graph.ir import Graph
    from myoedge.reports.report_json import Report


def check(
    budget: Budget,
    report: Report,
    network: QuantGraph,
    fidelity: Fidelity,
    short: Broken | None = None,
    reused: bool = False,
) -> None:
    """Raise E302 that lists all exceeded limits of a build: latency, energy, SQNR and memory.

    report   report with cycles and energy, estimated or simulated, and the limits under "budget"
    short    memory that is too small; the report is then for a plan with the whole memory
    reused   whether the int16 tensors come from an older build
    """
    judged = (
        short,
        broken_latency(report),
        broken_energy(report),
        _sqnr_error(budget, report, network, fidelity, reused),
    )
    broken_limits = [one for one in judged if one is not None]
    if broken_limits:
        raise raised(over_budget(broken_limits, short))


def _sqnr_error(
    budget: Budget, report: Report, network: QuantGraph, fidelity: Fidelity, reused: bool
) -> Broken | None:
    asked = budget.outputs_sqnr_db if budget.sqnr_db is None else budget.sqnr_db
    missed = missed_outputs(needs_db(asked, network.graph), fidelity)
    if not missed:
        return None
    rows = ((fidelity.local.get(result), name) for result, name in located(network.layers).items())
    noisiest = sorted((db, name) for db, name in rows if db is not None)[:MAX_NAMED]
    too_low = broken(
        "sqnr",
        *_required_and_reached(budget, network.graph, missed),
        [f"{db:z.1f} dB  {name}" for db, name in noisiest],
        ["--method mse or percentile; myoedge quantize shows the noise of every layer"],
    )
    return replace(
        too_low, facts={**too_low.facts, "16 bits": _describe_int16_trials(report, network, reused)}
    )


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
    budget: Budget, graph: Graph, missed: Mapping[str, tuple[float, float]]
) -> tuple[str, str]:
    """Return texts of the required and the reached SQNR: "25 dB" and "22.3 dB", or per output
    "scores 30 dB" and "scores 22.3 dB"."""
    if budget.sqnr_db is not None:
        return f"{budget.sqnr_db:g} dB", f"{min(has for _, has in missed.values()):z.1f} dB"
    names = graph.label_of
    needs = ", ".join(f"{names[tensor]} {db:g} dB" for tensor, (db, _) in missed.items())
    return needs, ", ".join(f"{names[tensor]} {db:z.1f} dB" for tensor, (_, db) in missed.items())
