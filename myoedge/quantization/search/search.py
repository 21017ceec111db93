# SPDX-License-Identifier: Apache-2.0
"""Main loop of the precision search: while an output is below its goal, make the move with the most
dB per cycle.

A move is accepted only if samples gain that did not determine it: each half of the samples must
gain with the design fitted to the other half. A move that is not fitted to samples is also accepted
if all samples together meet the goal with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from myoedge.quantization.search.goal import LEAST_GAIN_DB, Goal
from myoedge.quantization.search.moves.equalize import equalized_designs
from myoedge.quantization.search.moves.int16 import REMEDY, fewer_tensors, wider_tensors
from myoedge.quantization.search.moves.layers import (
    cores_integers,
    finer_exponentials,
    last_ranges,
    other_ranges,
)
from myoedge.quantization.search.moves.weight_steps import rounded_weights, well_determined_weights
from myoedge.quantization.search.state import (
    LITTLE,
    NO_ROOM,
    ONE_HALF,
    OTHER_MOVE,
    TOO_SLOW,
    Network,
    Proposal,
    Proposals,
    Search,
    SearchState,
    TriedMove,
    Workshop,
)
from myoedge.system.progress import purpose

Move = Callable[[Search, SearchState], Proposals]
# By kind of move. The moves of a stage compete; a later stage runs if the goal is still missed. The
# first two stages add no cycles. Equalization needs weights that are not rounded yet.
STAGES: tuple[Mapping[str, Move], ...] = (
    {"equalize": equalized_designs, "observer": other_ranges},
    {"round": well_determined_weights},
    {"int16": wider_tensors, "exponentials": finer_exponentials, "engine": cores_integers},
    {"observer": last_ranges, "round": rounded_weights},
)
MOST_PLANS = 3  # plans per proposal, with fewer and fewer int16 tensors


@dataclass(frozen=True)
class Trial:
    """A proposal of a move whose noise was measured.

    remedy    description of the proposal
    state     the network that it leads to
    gain_db   decibels by which it comes closer to the goal, over all measured tensors
    why       reason for rejecting it; "" if it is accepted
    """

    remedy: str
    state: SearchState
    gain_db: float
    why: str = ""


def search(
    workshop: Workshop, start: SearchState, goal: Goal, of_8_bits: Network
) -> tuple[SearchState, list[TriedMove]]:
    """Search for a network that meets the goal; return it, or the one that comes closest, and the
    moves tried.

    workshop    functions for making networks
    start       network to begin with
    of_8_bits   int8 network, to whose cycles the budgets are relative
    """
    limits, start_db = goal.limits(start.network.engined), start.measured.worst_db
    found = Search(workshop, goal, of_8_bits, start_db, limits)
    if not start.design.int16 and found.missing_db(start) <= 0.0:
        return start, []
    return _SearchLoop(found).run(start)


def search_goals(
    workshop: Workshop, state: SearchState, goal: Goal, start: SearchState
) -> tuple[SearchState, list[TriedMove]]:
    """Run the precision search for a goal, and for the file's own goals if the model file is
    quantised; return the state and the moves tried."""
    goals = goal.of_file if start.design.graph.has_fake_quantized else ()
    tried = list[TriedMove]()
    for one in (goal, *goals):
        state, moves = search(workshop, state, one, start.network)
        tried += moves
    return state, tried


class _SearchLoop:
    """A running search and the moves that it has tried.

    left   remedies without gain, with the int16 tensors at that time; they are not tried again
    """

    def __init__(self, of: Search) -> None:
        self.search, self.moves = of, list[TriedMove]()
        self.left = dict[tuple[str, frozenset[str]], Trial]()

    def run(self, state: SearchState) -> tuple[SearchState, list[TriedMove]]:
        better: SearchState | None = state
        while better is not None:
            state, better = better, None
            for stage in STAGES:
                better = better or self._best_state(stage, state)
        return self._fewest_int16(state), self.moves

    def _best_state(self, stage: Mapping[str, Move], state: SearchState) -> SearchState | None:
        """Return the state with the most dB per cycle, from the first accepted proposal of each
        move; None without one."""
        moves = (move for kind, move in stage.items() if kind in self.search.goal.moves)
        found = [*filter(None, (self._first_accepted(move, state) for move in moves))]
        if not found:
            return None
        best = max(
            found,
            key=lambda row: row.gain_db / max(row.state.network.cycles - state.network.cycles, 1.0),
        )
        for row in found:
            if row is not best:
                self._record_trial(replace(row, why=OTHER_MOVE))
        if best.state.design.int16[: len(state.design.int16)] != state.design.int16:
            self.moves = [replace(x, is_kept=x.is_kept and not x.tensors) for x in self.moves]
        self._record_trial(best)
        return best.state

    def _first_accepted(self, move: Move, state: SearchState) -> Trial | None:
        """Return the first accepted proposal of a move; None without one."""
        bench = self.search.workshop.bench
        misses_goal = self.search.missing_db(state) > 0.0 and not bench.is_spent
        if not misses_goal:
            return None
        proposals = move(self.search, state)
        proposal = next(proposals, None)
        while proposal is not None and not self.search.workshop.bench.is_spent:
            key = proposal.remedy, proposal.design.names
            found = self.left.get(key) or self._try_proposal(state, proposal)
            if not found.why:
                return found
            if key not in self.left:
                self._record_trial(found)
            self.left[key] = found
            with suppress(StopIteration):
                proposal = proposals.send(found.state)
                continue
            return None
        return None

    def _try_proposal(self, state: SearchState, proposal: Proposal) -> Trial:
        """Measure a proposal, with fewer int16 tensors if it exceeds memory or cycles."""
        first = found = self._measure_proposal(state, proposal)
        for _ in range(MOST_PLANS - 1):
            fewer = fewer_tensors(state, proposal.design)
            if found.why not in (NO_ROOM, TOO_SLOW) or fewer.names == state.design.names:
                break
            proposal = replace(proposal, design=fewer)
            found = self._measure_proposal(state, proposal)
        return first if found.why else found

    def _measure_proposal(self, state: SearchState, proposal: Proposal) -> Trial:
        search = self.search
        with purpose(f"try {proposal.remedy}"):
            found = search.workshop.state(proposal.design, state.network)
        gain_db = search.missing_db(state) - search.missing_db(found)
        met = search.missing_db(found) == 0.0
        is_free = gain_db > 0.0 and found.network.cycles < state.network.cycles
        by_halves = (self._helps_both_halves(state, proposal, found, half) for half in (0, 1))
        helps = (met and proposal.fit is None) or all(by_halves)
        why = ""
        if gain_db < LEAST_GAIN_DB and not (met or is_free):
            why = LITTLE
        elif not helps:
            why = ONE_HALF
        elif found.network.cycles > state.network.cycles:
            why = self._budget_excess(state, found)
        return Trial(proposal.remedy, found, gain_db, why)

    def _helps_both_halves(
        self, state: SearchState, proposal: Proposal, found: SearchState, half: int
    ) -> bool:
        """Return whether one half of the samples gains from the design fitted to the other half."""
        search = self.search
        missing = state.measured.missing_db(search.limits, half)
        with_it = found.measured.missing_db(search.limits, half)
        bench = search.workshop.bench
        if proposal.fit is not None and bench.count > 1:
            fitted = search.workshop.make(proposal.fit(bench.halves[1 - half]), state.network)
            other = bench.measure(fitted.engined, half)
            with_it = max(with_it, other.missing_db(search.limits, half))
        return with_it < missing or with_it == 0.0

    def _budget_excess(self, state: SearchState, found: SearchState) -> str:
        """Return why a move's network exceeds the cycles or memory, from its plan if possible; ""
        if it does not."""
        network = found.network
        share = max(self.search.shares(state, found), default=0.0)
        if self.search.more_cycles(network) > share:
            return TOO_SLOW
        if self.search.goal.planned_cycles is None:
            return ""
        planned = self.search.planned_cycles(network.engined)
        if math.isinf(planned):
            return NO_ROOM
        before = self.search.planned_cycles(self.search.start.engined)
        return TOO_SLOW if planned > (1.0 + share) * before else ""

    def _fewest_int16(self, state: SearchState) -> SearchState:
        """Return a network that meets the goal with the fewest int16 tensors; fewer than predicted
        may suffice, because measured noise is below the sum of predictions."""
        low, high, search = 0, len(state.design.int16), self.search
        if search.missing_db(state):
            return state
        while high - low > 1 and not search.workshop.bench.is_spent:
            count = (low + high) // 2
            design = replace(state.design, int16=state.design.int16[:count])
            fewer = search.workshop.state(design, state.network)
            is_met = not search.missing_db(fewer)
            state = fewer if is_met else state
            low, high = (low, count) if is_met else (count, high)
        if self.moves and len(state.design.int16) < self.moves[-1].tensors:
            self._record_trial(Trial(f"fewer {REMEDY}", state, 0.0))
        return state

    def _record_trial(self, tried: Trial) -> None:
        design, more = tried.state.design, self.search.more_cycles(tried.state.network)
        remedy = f"{tried.remedy}, {tried.why}" if tried.why else tried.remedy
        worst_db, tensors = tried.state.measured.worst_db, len(design.names)
        self.moves.append(TriedMove(remedy, worst_db, max(more, 0.0), not tried.why, tensors))
