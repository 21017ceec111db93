# SPDX-License-Identifier: Apache-2.0
"""Moves: int16 for the tensors that remove the most noise per cycle, and for the intermediates of
groups of element-wise layers, which are rounded once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from myoedge.numerics.arrays import ceil_div
from myoedge.quantization.formats import fused_tables, int16_groups, with_tables_apart
from myoedge.quantization.search.bench import worst_db
from myoedge.quantization.search.candidates import (
    Candidate,
    Group,
    Worth,
    int16_candidates,
    most_noise,
    noise_per_cycle,
    picked_candidates,
)
from myoedge.quantization.search.goal import LEAST_GAIN_DB, Goal
from myoedge.quantization.search.state import (
    LITTLE,
    ONE_HALF,
    TOO_SLOW,
    Design,
    Proposal,
    Proposals,
    Search,
    SearchState,
    TriedMove,
    Workshop,
)
from myoedge.quantization.tensor_params import inner_groups
from myoedge.system.progress import purpose

REMEDY = "16 bits"
CHEAP_SHARE = 0.01  # fraction of the network's cycles
MOST_TRIED = 3  # designs tried per budget, because the noise of several tensors only nearly adds up


def wider_tensors(search: Search, state: SearchState) -> Proposals:
    """Propose more int16 tensors: as many as fit the smallest cycle budget that is not used up,
    then the next budget.

    Then the noisiest tensors are proposed, because many cheap tensors may leave no cycles for an
    expensive one; finally all tensors, because few samples do not show what rarely changes a
    comparison.
    """
    key = id(state.design.calibration)
    if not state.design.int16:
        search.narrow[key] = state
    candidates, tried = _candidates(search, state), state
    for share in search.shares(state):
        for _ in range(MOST_TRIED):
            design = _pick_candidates(search, tried, candidates, share)
            if design.names == tried.design.names:
                break
            tried = yield Proposal(REMEDY, design)
    share = max(search.shares(state), default=math.inf)
    if not math.isinf(share) and candidates:
        yield from _noisiest_tensors(search, state, candidates, share)
    order = sorted(candidates, key=lambda c: -float(c.noise.max()) / c.cost_cycles)
    graph = with_tables_apart(state.design.graph, fused_tables(state.design.graph))
    others = int16_groups(graph, state.network.engined.params)
    groups = dict.fromkeys((*(c.names for c in order), *others))
    left = [group for group in groups if group not in state.design.int16]
    yield Proposal(f"{REMEDY} for all tensors", _widest_design(search, state, left, share))


def _noisiest_tensors(
    search: Search, state: SearchState, candidates: Sequence[Candidate], share: float
) -> Proposals:
    key = id(state.design.calibration)
    if key not in search.narrow:
        search.narrow[key] = search.workshop.state(replace(state.design, int16=()))
    tried = search.narrow[key]
    for _ in range(MOST_TRIED):
        design = _pick_candidates(search, tried, candidates, share, most_noise)
        if design.names in (tried.design.names, state.design.names):
            break
        tried = yield Proposal(f"{REMEDY} for the noisiest", design)


def fewer_tensors(before: SearchState, design: Design) -> Design:
    """Return `design` with only half of the int16 tensors that it adds to those of `before`."""
    kept = len(before.design.int16)
    if design.int16[:kept] != before.design.int16:
        kept = 0
    return replace(design, int16=design.int16[: kept + (len(design.int16) - kept) // 2])


def _candidates(search: Search, state: SearchState) -> Sequence[Candidate]:
    """Return the candidates for int16, which are the same for all networks with these ranges."""
    key = id(state.design.calibration)
    if key not in search.candidates:
        workshop = search.workshop
        narrow = workshop.make(replace(state.design, int16=()), state.network).engined
        given = (workshop.bench.samples, search.limits, workshop.layer_cycles, workshop.every_rule)
        search.candidates[key] = int16_candidates(narrow, *given, state.design.inner)
    return search.candidates[key]


def _pick_candidates(
    search: Search,
    state: SearchState,
    candidates: Sequence[Candidate],
    share: float,
    worth: Worth = noise_per_cycle,
) -> Design:
    """Return a design with more int16 tensors within the cycle limit; nearly free outputs come
    first, because few samples do not show their range.

    The cycles of the whole network are estimated again, because adjacent int16 tensors cost more or
    less than the sum of their groups.
    """
    design, total = state.design, search.start.cycles
    left = [c for c in candidates if c.names not in design.int16]
    rest = share * total - (state.network.cycles - total)
    first = [] if worth is most_noise else _cheap_outputs(search, state, left)
    others = [c for c in left if c not in first]
    noise = state.noise
    picked = picked_candidates(others, noise, search.limits, rest, worth)
    groups: list[Group] = [c.names for c in (*first, *picked)]
    return _widest_design(search, state, groups, share)


def _widest_design(
    search: Search, state: SearchState, groups: Sequence[Group], share: float
) -> Design:
    """Return a design with as many of the groups, the first ones, as fit the cycle limit."""
    low, high, count = 0, len(groups), len(groups)
    while True:
        wider = replace(state.design, int16=(*state.design.int16, *groups[:count]))
        more = search.more_cycles(search.workshop.make(wider, state.network))
        if count and more > share:
            high = count - 1
        elif count == high:
            return wider
        else:
            low = count
        count = ceil_div(low + high, 2)


def _cheap_outputs(
    search: Search, state: SearchState, left: Sequence[Candidate]
) -> list[Candidate]:
    outputs, missed = {*state.design.graph.outputs}, state.noise > search.limits
    most_cycles = CHEAP_SHARE * search.start.cycles
    return [
        candidate
        for candidate in left
        if outputs.intersection(candidate.names)
        and candidate.noise[missed].any()
        and candidate.cost_cycles <= most_cycles
    ]


# --- intermediates --------------------------------------------------------------------------------


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
