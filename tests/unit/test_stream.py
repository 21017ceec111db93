# SPDX-License-Identifier: Apache-2.0
"""Hauls from L3: held against bytes that have owners, and against a run cycle by cycle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from myoedge.plan.levels.residency import fill, most_read, residences
from myoedge.plan.levels.transfers import (
    ComputeCycles,
    _earliest_start,
    in_order,
    place_transfers,
    schedule_in_window,
    timeline,
    turns,
)
from myoedge.plan.packing import place
from myoedge.plan.placement import LiveRange
from myoedge.plan.timeline import Chunk, LoopSteps, TimelineSteps
from myoedge.targets.memories import MemoryLevel

MOMENTS = 24
LEVEL = MemoryLevel("l3", 1 << 25, bytes_per_cycle=0.5, start_cycles=100)

drawn = settings(max_examples=200, derandomize=True, database=None, deadline=None)


@st.composite
def chunks(draw: st.DrawFn) -> list[Chunk]:
    found = []
    for index in range(draw(st.integers(1, 12))):
        first = draw(st.integers(0, MOMENTS - 1))
        last = draw(st.integers(first, min(first + 3, MOMENTS - 1)))
        found.append(Chunk(index, "w", 0, draw(st.integers(1, 60)), first, last))
    return in_order(found)


@st.composite
def feature_maps(draw: st.DrawFn) -> list[tuple[int, LiveRange]]:
    lives = []
    for index in range(draw(st.integers(0, 6))):
        first = draw(st.integers(0, MOMENTS - 1))
        last = draw(st.integers(first, MOMENTS - 1))
        lives.append(LiveRange(f"b{index}", 4 * draw(st.integers(1, 12)), first, last))
    offsets = place(lives, 4).offsets
    return [(offsets[life.name], life) for life in lives]


@drawn
@given(chunks(), feature_maps(), st.integers(16, 60))
def test_every_byte_is_there_when_it_is_read(
    wanted: list[Chunk], others: list[tuple[int, LiveRange]], words: int
) -> None:
    """Owners of bytes, moment by moment: hauls write when they begin and are read to the end."""
    room = 4 * words
    transfers = place_transfers(wanted, others, room)
    if transfers is None:
        return
    owner: list[str | None] = [None] * max(room, *(at + x.size_bytes for at, x in others), 1)
    for moment in range(MOMENTS):
        for at, life in others:
            if life.first == moment:
                owner[at : at + life.size_bytes] = [life.name] * life.size_bytes
        for n, transfer in enumerate(transfers):
            if transfer.begins == moment:
                size = transfer.chunk.room_bytes
                assert 0 <= transfer.l2 <= room - size
                assert transfer.l2 % 4 == 0
                owner[transfer.l2 : transfer.l2 + size] = [f"haul {n}"] * size
        for n, transfer in enumerate(transfers):
            if transfer.begins <= moment <= transfer.chunk.last:
                assert {*owner[transfer.l2 : transfer.l2 + transfer.chunk.size_bytes]} == {
                    f"haul {n}"
                }
        for at, life in others:
            if life.first <= moment <= life.last:
                assert {*owner[at : at + life.size_bytes]} == {life.name}
    assert all(a.begins <= b.begins for a, b in pairwise(transfers))
    assert all(transfer.begins <= transfer.chunk.first for transfer in transfers)


@drawn
@given(
    st.lists(st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 9)] * 2), max_size=8),
    st.integers(1, 20), st.integers(0, 16), st.integers(0, 9),
)  # fmt: skip
def test_a_start_is_the_earliest_and_then_the_lowest(
    rows: list[tuple[int, int, int, int]], size: int, words: int, begin: int
) -> None:
    """Against all words of the room."""
    chunk = Chunk(0, "w", 0, size, 8, 9)
    taken = [(4 * at, 4 * at + n, first, last) for at, n, first, last in rows if last >= begin]
    own = 4 * -(-size // 4)
    starts = [
        (
            max(
                (last + 1 for low, end, _, last in taken if low < at + own and at < end),
                default=begin,
            ),
            at,
        )
        for at in range(0, 4 * words - own + 1, 4)
    ]
    best = min(starts, default=(99, 0))
    found = _earliest_start(chunk, taken, begin, 4 * words, ())
    assert found == (best if best[0] <= chunk.first else None)


def test_a_haul_begins_as_soon_as_its_place_is_free() -> None:
    first = [Chunk(0, "w", 0, 40, 1, 1), Chunk(1, "w", 0, 40, 6, 7), Chunk(2, "w", 0, 16, 9, 9)]
    transfers = place_transfers(first, [(40, LiveRange("x", 8, 0, 4))], 48)
    assert transfers is not None
    assert [transfer.begins for transfer in transfers] == [0, 2, 8]


def test_what_is_alive_all_the_time_leaves_no_place() -> None:
    assert place_transfers([Chunk(0, "w", 0, 8, 3, 3)], [(4, LiveRange("x", 8, 0, 9))], 12) is None


def by_time(
    wanted: list[Chunk],
    begins: list[int],
    durations: list[int],
    behind: Sequence[int] = (0,) * MOMENTS,
) -> float:
    """The same run cycle by cycle: L3 moves one haul at a time, cores compute or wait; a part of
    each moment starts when all that is needed is there."""
    left = [LEVEL.cycles(p.room_bytes) for p in wanted]
    done, moment, computed, own, now = 0, 0, 0, 0, 0
    while moment < len(durations):
        needed = sum(p.first <= moment for p in wanted)
        while computed >= durations[moment] and done >= needed and own >= behind[moment]:
            moment, computed, own = moment + 1, 0, 0
            if moment == len(durations):
                return now
            needed = sum(p.first <= moment for p in wanted)
        if done < len(wanted) and begins[done] <= moment:
            left[done] -= 1
            done += left[done] <= 0
        computed += 1
        own += done >= needed
        now += 1
    return now


@settings(drawn, max_examples=60)
@given(chunks(), st.data())
def test_cycles_are_those_of_a_run_cycle_by_cycle(wanted: list[Chunk], data: st.DataObject) -> None:
    durations = [data.draw(st.integers(0, 300)) for _ in range(MOMENTS)]
    window = most_read(wanted) + data.draw(st.integers(0, 60))
    begins, stuck = schedule_in_window(wanted, window)
    behind = [data.draw(st.integers(0, x)) for x in durations]
    if stuck is None:
        costs, needed = [LEVEL.cycles(p.room_bytes) for p in wanted], [p.first for p in wanted]
        found = timeline(costs, begins, needed, ComputeCycles(durations, behind))
        true = by_time(wanted, begins, durations, behind)
        assert abs(found.cycles - true) <= len(wanted) + MOMENTS


def test_what_is_fetched_ahead_costs_nothing_behind_computation() -> None:
    wanted = [Chunk(n, "w", 0, 100, 2 * n + 2, 2 * n + 2) for n in range(3)]
    needed = [p.first for p in wanted]
    ahead = timeline([300.0] * 3, [0, 0, 0], needed, ComputeCycles([400.0] * 8))
    late = timeline([500.0] * 3, needed, needed, ComputeCycles([400.0] * 8))
    assert (ahead.cycles, ahead.late) == (3200.0, (False, False, False))
    assert late.cycles == 3200.0 + 3 * 100.0
    assert late.late == (True, True, True)


def test_the_array_that_is_waited_for_stays() -> None:
    """Of two that are alike, one behind much computation and one behind none."""
    known = {
        (0, "first", 0): [Chunk(0, "first", 0, 8000, 0, 0)],
        (1, "hidden", 0): [Chunk(1, "hidden", 0, 8000, 5, 5)],
    }
    durations = [10.0, 10.0, 1e6, 10.0, 10.0, 10.0]
    best = residences(known, ComputeCycles(durations), 16000, [LEVEL], 16000)[0]
    assert best.streamed == {(1, "hidden", 0)}
    assert best.cycles == sum(durations)


def test_turns_tell_when_hauls_may_start_and_must_have_ended() -> None:
    wanted = [Chunk(n, "w", 0, 8, first, first) for n, first in enumerate((1, 1, 4))]
    transfers = place_transfers(wanted, [], 16)
    assert transfers is not None
    assert [*turns(transfers)] == [(0, 2, 0), (1, 2, 2), (2, 3, 2), (4, 3, 3)]


def test_what_is_left_of_l2_is_filled_as_far_as_nobody_waits() -> None:
    """Four arrays, each hidden behind the one before: two may stay, as hauls need room for two."""
    known = {(n, "w", 0): [Chunk(n, "w", 0, 8000, n + 1, n + 1)] for n in range(4)}
    every, computed = frozenset(known), ComputeCycles([2e4] * 6)
    assert residences(known, computed, 32000, [LEVEL], 32000)[0].streamed == every
    assert fill(known, every, computed, 32000, [LEVEL]) == [*known]
    assert fill(known, every, computed, 31999, [LEVEL]) == [(0, "w", 0), (1, "w", 0)]
    assert fill(known, every, computed, 23999, [LEVEL]) == [(0, "w", 0)]
    assert fill(known, every, computed, 8000, [LEVEL]) == []


@settings(drawn, max_examples=60)
@given(chunks(), st.data())
def test_filling_makes_nobody_wait_and_takes_no_more_than_there_is(
    wanted: list[Chunk], data: st.DataObject
) -> None:
    durations = [data.draw(st.integers(0, 300)) for _ in range(MOMENTS)]
    known = {(p.step, p.array): [p] for p in wanted}
    room = most_read(wanted) + data.draw(st.integers(0, 200))

    def cycles(left: list[Chunk]) -> float | None:
        stays = sum(p.room_bytes for p in wanted) - sum(p.room_bytes for p in left)
        begins, stuck = schedule_in_window(left, room - stays)
        if stuck is not None:
            return None
        return by_time(left, begins, durations)

    kept = fill(known, frozenset(known), ComputeCycles(durations), room, [LEVEL])
    left = [p for p in wanted if (p.step, p.array) not in kept]
    assert sum(known[key][0].room_bytes for key in kept) <= room
    before, after = cycles(wanted), cycles(left)
    if kept and before is not None:
        assert after is not None
        assert after <= before + len(wanted) + MOMENTS


def test_a_loop_takes_the_cycles_of_its_iterations_in_a_row() -> None:
    """Its transfers begin anew in each: no other one begins within it."""
    steps = TimelineSteps((0, 3, 7, 9), loops=(LoopSteps(3, 7, 4),))
    assert [steps.earliest(x) for x in (0, 2, 3, 6, 7, 8)] == [0, 0, 3, 3, 0, 0]
    assert [steps.turns(x) for x in (2, 3, 6, 7)] == [1, 4, 4, 1]
    wanted = [
        Chunk(n, "w", 0, 100, first, first, earliest=steps.earliest(first))
        for n, first in enumerate((2, 4, 6, 8))
    ]
    begins, _ = schedule_in_window(wanted, 400, steps.loops)
    placed = place_transfers(wanted, [], 400, loops=steps.loops)
    assert placed is not None
    assert begins == [x.begins for x in placed] == [0, 3, 3, 7]
    durations, costs = [50.0, 70.0, 90.0, 110.0, 40.0, 260.0, 30.0, 80.0, 20.0], [300.0] * 4
    looped = timeline(
        costs, begins, [2, 4, 6, 8], ComputeCycles(durations, loops=steps.loops)
    ).cycles
    in_a_row = [*durations[:3], *durations[3:7] * 4, *durations[7:]]
    again = [4 * n + at for n in range(4) for at in (3, 3)]
    needed = [4 * n + at for n in range(4) for at in (4, 6)]
    every = timeline([300.0] * 10, [0, *again, 19], [2, *needed, 20], ComputeCycles(in_a_row))
    assert looped == every.cycles
