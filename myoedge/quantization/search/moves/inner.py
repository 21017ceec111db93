# SPDX-License-Identifier: Apache-2.0
"""Move: 16 bits for the intermediates of groups of element-wise layers, which are rounded once."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain

from myoedge.quantization.search.bench import worst_db
from myoedge.quantization.search.goal import LEAST_GAIN_DB, Goal
from myoedge.quantization.search.state import (
    LITTLE,
    ONE_HALF,
    TOO_SLOW,
    SearchState,
    TriedMove,
    Workshop,
)
from myoedge.quantization.tensor_params import inner_groups
from myoedge.system.progress import purpose

KIND = "inner"
SAMPLE_NOISE_DB = 0.1  # by which samples of equal networks may differ


def with_inner_tensors(
    workshop: Workshop, start: SearchState, goal: Goal
) -> tuple[SearchState, tuple[TriedMove, ...]]:
    """Return the network with 16 bits inside groups of layers, and the move; the network itself if
    this reaches neither more dB nor fewer cycles, by its plan.

    start   the network, without int16 tensors of its own choice
    """
    graph = start.design.graph
    is_open = KIND in goal.moves and not graph.has_fake_quantized
    groups = inner_groups(graph, start.network.cores.params) if is_open else []
    planned = goal.planned_cycles
    if planned is None or not groups:
        return start, ()
    before = planned(start.network.engined)
    inside = "a group" if len(groups) == 1 else f"{len(groups)} groups"
    remedy = f"16 bits inside {inside} of layers"
    design = replace(start.design, inner=frozenset(chain.from_iterable(groups)))
    with purpose(f"try {remedy}"):
        found = workshop.state(design, start.network)
    after = planned(found.network.engined)
    why = _rejection_reason(start, found, before, after)
    more = after / before - 1.0 if before and math.isfinite(after) else 0.0  # a host has none
    remedy = f"{remedy}, {why}" if why else remedy
    tried = TriedMove(remedy, found.measured.worst_db, more, not why)
    return (start if why else found), (tried,)


def _rejection_reason(start: SearchState, found: SearchState, before: float, after: float) -> str:
    """Return why 16 bits are not kept; "" if they reach more dB in no more cycles, or fewer cycles
    with no fewer dB, on both halves of the samples.

    before, after   cycles of the plans
    """
    gains = [_gain_db(start, found, half) for half in (0, 1)]
    if not after <= before or not math.isfinite(after):
        return TOO_SLOW
    if after < before and min(gains) >= -SAMPLE_NOISE_DB:
        return ""
    if min(gains) < 0.0:
        return ONE_HALF if max(gains) > 0.0 else LITTLE
    return "" if _gain_db(start, found, None) >= LEAST_GAIN_DB else LITTLE


def _gain_db(start: SearchState, found: SearchState, half: int | None) -> float:
    """Return the dB by which the worst output improves on a half of the samples, or on all."""
    old, new = (worst_db(x.measured.noise(half)) for x in (start, found))
    return 0.0 if old == new else new - old
