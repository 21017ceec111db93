# SPDX-License-Identifier: Apache-2.0
"""Settings with which a network would come nearer to its SQNR goal, each tried: limits of [budget],
lines of [quant]."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from myoedge.numerics.element_type import INT16
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import AIM_DB, LEAST_GAIN_DB, UNLIMITED, Goal
from myoedge.quantization.search.moves.int16 import REMEDY
from myoedge.quantization.search.search import search, search_goals
from myoedge.quantization.search.state import SearchState, TriedMove, Workshop
from myoedge.quantization.stated_widths import LayerRule

EVERY_16_BITS = '[quant] "*" = { activations = 16 }'  # a setting


def offers(
    workshop: Workshop,
    state: SearchState,
    goal: Goal,
    start: SearchState,
    judge: Callable[[QuantGraph], Fidelity],
    has_db: float,
) -> tuple[TriedMove, ...]:
    """Return moves with a setting that would bring a network nearer to its goal on the evaluation
    samples, none of which determined them; () if the model file is quantised.

    state    the network
    start    the int8 network
    has_db   SQNR of its worst output, by `judge`
    """
    if start.design.graph.has_fake_quantized:
        return ()
    found = _find_reaching_move(workshop, state, goal, start, judge, has_db)
    has_db = max([has_db, *(x.worst_db for x in found)])
    if has_db >= goal.db or workshop.rules:
        return found
    return (*found, *_find_widest_move(workshop, goal, start, judge, has_db))


def _find_widest_move(
    workshop: Workshop,
    goal: Goal,
    start: SearchState,
    judge: Callable[[QuantGraph], Fidelity],
    has_db: float,
) -> tuple[TriedMove, ...]:
    """Return 16 bits for all tensors, with the line of [quant] that sets them, also where the
    calibration samples reach the goal in int8; () if this gains nothing, or does not fit."""
    wide = replace(
        workshop,
        rules=(LayerRule("*", activations=INT16.bits),),
        bench=replace(workshop.bench, runs=0),
    )
    first = wide.state(start.design)
    state, _ = search_goals(wide, first, goal, first)
    network, planned = state.network.engined, goal.planned_cycles
    cycles, usual = (
        x.network.cycles if planned is None else planned(x.network.engined) for x in (state, start)
    )
    db, more = judge(network).worst_db, cycles / max(usual, 1.0) - 1.0
    if db is None or db < has_db + LEAST_GAIN_DB or not math.isfinite(more):
        return ()
    tensors = sum(network.element_type(x.node.name) == INT16 for x in network.steps)
    return (TriedMove(REMEDY, db, more, False, tensors, EVERY_16_BITS),)


def _find_reaching_move(
    workshop: Workshop,
    state: SearchState,
    goal: Goal,
    start: SearchState,
    judge: Callable[[QuantGraph], Fidelity],
    has_db: float,
) -> tuple[TriedMove, ...]:
    """Return the move that would bring a network within its cycle budget to the usual goal: more
    int16 tensors at more cycles.

    Its setting is the [budget] that keeps it. () if the budget is unlimited.

    state    the network
    start    the int8 network
    has_db   SQNR of its worst output, by `judge`
    """
    if goal.budgets == UNLIMITED:
        return ()
    again = replace(workshop, bench=replace(workshop.bench, runs=0))
    ample = replace(goal, budgets=UNLIMITED, moves=frozenset({"int16"}))
    found, moves = search(again, state, ample, start.network)
    db, kept = judge(found.network.engined).worst_db, [move for move in moves if move.is_kept]
    if not kept or db is None or db < has_db + LEAST_GAIN_DB:
        return ()
    move = replace(kept[-1], remedy=REMEDY, worst_db=db, is_kept=False)
    return (replace(move, setting=sqnr_budget(db)),)


def sqnr_budget(db: float) -> str:
    """Return the setting [budget] sqnr for a reached SQNR, in whole dB up to AIM_DB.

    db   infinite for exact results
    """
    return f"[budget] sqnr = {math.floor(min(AIM_DB, db)):g}"
