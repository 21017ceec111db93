# SPDX-License-Identifier: Apache-2.0
"""Transfers between memory levels and L2: start times and destinations."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.plan.l1.tile_iteration import Transfer
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.placement import LiveRange
from myoedge.plan.timeline import Chunk, LoopSteps, whole_words


@dataclass(frozen=True, slots=True)
class LevelTransfer:
    """The transfer of a chunk between a memory level and L2. Transfers of one channel run one after
    another, in the plan's order.

    chunk     the bytes
    level     name of the memory level
    address   offset in the level's image, or behind it for a feature map
    l2        offset in the arena
    begins    first timeline step in which it may run
    out       whether it goes to the level; its bytes in L2 are then reserved until it has ended
    """

    chunk: Chunk
    level: str
    address: int
    l2: int
    begins: int
    out: bool = False

    @property
    def needed(self) -> int:
        """Return the timeline step before which the transfer must have ended."""
        return self.chunk.last + 1 if self.out else self.chunk.first

    @property
    def owned_from(self) -> int:
        """Return the timeline step from which its bytes in L2 are reserved."""
        return self.chunk.first if self.out else self.begins


@dataclass(frozen=True, slots=True)
class ComputeCycles:
    """Compute cycles of each timeline step of a run.

    cycles   per step, without waits
    behind   of these, per step, the cycles that begin when the awaited transfers have ended: those
             of the core that waits; (): none
    loops    steps that run several times
    """

    cycles: Sequence[float]
    behind: Sequence[float] = ()
    loops: Sequence[LoopSteps] = ()

    @property
    def of_all_turns(self) -> list[float]:
        """Compute cycles of each step, summed over the iterations of its loop."""
        cycles = [*self.cycles]
        for loop in self.loops:
            steps = slice(loop.first, loop.end)
            cycles[steps] = [loop.turns * x for x in cycles[steps]]
        return cycles


@dataclass(frozen=True, slots=True)
class Timeline:
    """Result of simulating a run with transfers.

    cycles   cycles of the run
    late     per transfer: whether the run waits for it, or for one of its channel that follows it
             without a pause
    starts   per timeline step, its start; last, the end of the run; loops run once
    """

    cycles: float
    late: tuple[bool, ...]
    starts: Sequence[float] = ()


def in_order(chunks: Sequence[Chunk]) -> list[Chunk]:
    return sorted(chunks, key=lambda p: (p.first, p.step, p.last, p.array, p.start))


def timeline(
    costs: Sequence[float],
    begins: Sequence[int],
    needed: Sequence[int],
    computed: ComputeCycles,
    channels: Sequence[int] = (),
) -> Timeline:
    """Estimate the cycles of a run with transfers; transfers of one channel follow one another.

    costs      cycles per transfer
    begins     per transfer, the first step in which it may run
    needed     per transfer, the step before which it must end
    computed   compute cycles per timeline step
    channels   number of each transfer's channel; (): all have the same one
    """
    channels = channels or [0] * len(costs)
    now, free = 0.0, [0.0] * (max(channels, default=0) + 1)
    ends: list[float] = []
    pauses: list[bool] = []  # whether the channel was idle before the transfer
    waited = [False] * len(costs)
    by_need = sorted(range(len(costs)), key=lambda n: needed[n])
    # An infinite end avoids a test: this loop is the hottest of a plan with transfers.
    first, wanted = [*begins, math.inf], [*(needed[n] for n in by_need), math.inf]
    starts: list[float] = []
    read, loops = 0, {x.end: x for x in computed.loops}
    behind = computed.behind or [0.0] * len(computed.cycles)
    for timeline_step, (duration, own) in enumerate(zip(computed.cycles, behind, strict=True)):
        starts.append(now)
        if timeline_step in loops:  # transfers go on during the other iterations
            loop = loops[timeline_step]
            past = (loop.turns - 1) * (now - starts[loop.first])
            free, ends = _earlier(free, past), _earlier(ends, past)
        while first[len(ends)] <= timeline_step:
            channel = channels[len(ends)]
            pauses.append(now > free[channel])
            free[channel] = max(free[channel], now) + costs[len(ends)]
            ends.append(free[channel])
        then = now + duration
        while wanted[read] <= timeline_step:
            end = ends[by_need[read]] + own
            waited[by_need[read]] = end > then
            then = max(then, end)
            read += 1
        now = then
    starts.append(now)
    again = ((x.turns - 1) * (starts[x.end] - starts[x.first]) for x in computed.loops)
    return Timeline(now + sum(again), _late(waited, pauses, channels), starts)


def _earlier(ends: Sequence[float], cycles: float) -> list[float]:
    return [end - cycles for end in ends]


def _late(
    waited: Sequence[bool], pauses: Sequence[bool], channels: Sequence[int]
) -> tuple[bool, ...]:
    """Return, per transfer, whether the run waits for it or for one that follows it at once."""
    late, behind = [False] * len(pauses), [False] * (max(channels, default=0) + 1)
    for index in reversed(range(len(pauses))):
        late[index] = behind[channels[index]] or waited[index]
        behind[channels[index]] = late[index] and not pauses[index]
    return tuple(late)


def schedule_in_window(
    chunks: Sequence[Chunk], window: int, loops: Sequence[LoopSteps] = ()
) -> tuple[list[int], int | None]:
    """Schedule transfers in order of use into a window of L2; fragmentation is ignored.

    window   bytes of the window
    loops    steps that run several times
    -> the start step of each, and the index of the first transfer that would be late, or None
    """
    begins: list[int] = []
    alive: list[tuple[int, int]] = []
    taken = begin = 0
    for index, chunk in enumerate(chunks):
        own = chunk.room_bytes
        while alive and taken + own > window:
            last, size = heapq.heappop(alive)
            begin, taken = max(begin, last + 1), taken - size
        begin = outside_of_loops(max(begin, chunk.earliest), chunk, loops)
        if begin > chunk.first or own > window:
            return begins, index
        begins.append(begin)
        heapq.heappush(alive, (chunk.last, own))
        taken += own
    return begins, None


def outside_of_loops(begin: int, chunk: Chunk, loops: Sequence[LoopSteps]) -> int:
    """Return the first step from `begin` on in which a transfer of a chunk may start: no step of a
    loop that is not the chunk's, which would start it in each iteration."""
    ends = (x.end for x in loops if begin in x and chunk.first not in x)
    return next(ends, begin)


def place_transfers(
    chunks: Sequence[Chunk],
    others: Sequence[tuple[int, LiveRange]],
    room: int,
    maps: Sequence[LevelTransfer] = (),
    loops: Sequence[LoopSteps] = (),
) -> list[LevelTransfer] | None:
    """Assign each transfer its earliest possible start and the lowest free offset in L2; return
    None if one does not fit. Levels and addresses are chosen later.

    room     bytes of L2 for the arena
    others   (offset, live range in timeline steps) of all other buffers in the arena
    maps     transfers of feature maps, which are placed already
    loops    steps that run several times
    """
    # rows: offset, end, first and last timeline step
    taken = [(at, at + life.size_bytes, life.first, life.last) for at, life in others]
    transfers: list[LevelTransfer] = []
    begin = 0
    turns: list[tuple[int, bool, LevelTransfer | Chunk]] = [
        *((x.begins if x.out else x.chunk.first, False, x) for x in maps),
        *((chunk.first, True, chunk) for chunk in chunks),
    ]
    for _, _, item in sorted(turns, key=lambda turn: turn[:2]):
        if isinstance(item, LevelTransfer):
            begin = max(begin, item.begins)
            transfers.append(replace(item, begins=begin))
            continue
        begin = outside_of_loops(max(begin, item.earliest), item, loops)
        taken = [row for row in taken if row[3] >= begin]
        start = _earliest_start(item, taken, begin, room, loops)
        if start is None:
            return None
        begin, at = start
        transfers.append(LevelTransfer(item, "", 0, at, begin))
        taken.append((at, at + item.room_bytes, begin, item.last))
    return transfers


def _earliest_start(
    chunk: Chunk,
    taken: Sequence[tuple[int, int, int, int]],
    begin: int,
    room: int,
    loops: Sequence[LoopSteps],
) -> tuple[int, int] | None:
    """Return (timeline step, offset) of the earliest start that is not before `begin`."""
    rows = np.array([row for row in taken if row[2] <= chunk.last], np.int64).reshape(-1, 4)
    size = chunk.room_bytes
    if (at := _lowest_gap(rows, size, room)) is not None:
        start = outside_of_loops(begin, chunk, loops)
        return None if start > chunk.first else (start, at)
    places = np.unique([0, *whole_words(rows[:, 1]), *(rows[:, 0] - size)])
    places = places[(places >= 0) & (places + size <= room)]
    if not len(places):
        return None
    meets = (places[:, None] < rows[:, 1]) & (rows[:, 0] < places[:, None] + size)
    free = np.where(meets, rows[:, 3] + 1, begin).max(1, initial=begin)
    best = int(free.argmin())
    start = outside_of_loops(int(free[best]), chunk, loops)
    return None if start > chunk.first else (start, int(places[best]))


def _lowest_gap(rows: Array, size: int, room: int) -> int | None:
    """Return the lowest offset in words with `size` free bytes between all rows, or behind them;
    None if there is none.

    rows   offset, end and others of each buffer
    """
    by_offset = rows[rows[:, 0].argsort()]
    starts = whole_words(np.maximum.accumulate([0, *by_offset[:, 1]]))
    ends = np.minimum([*by_offset[:, 0], room], room)
    found = np.flatnonzero(starts + size <= ends)
    return int(starts[found[0]]) if len(found) else None


def turns(transfers: Sequence[LevelTransfer]) -> Iterator[tuple[int, int, int]]:
    """Yield (timeline step, transfers that may have started, transfers that must have ended)
    whenever one of the numbers changes."""
    begins = [x.begins for x in transfers]
    over = dict.fromkeys(begins, 0)
    for number, transfer in enumerate(transfers, 1):
        over[transfer.needed] = max(over.get(transfer.needed, 0), number)
    ended = 0
    for timeline_step in sorted(over):
        ended = max(ended, over[timeline_step])
        yield timeline_step, bisect_right(begins, timeline_step), ended


def resident_ranges(streamed: Sequence[LevelTransfer], size_bytes: int) -> list[tuple[int, int]]:
    """Return the (first byte, end) of the parts of a constant that are not streamed.

    streamed     its transfers, in the order of its bytes
    size_bytes   bytes of the constant
    """
    starts = [0, *(x.chunk.start + x.chunk.size_bytes for x in streamed)]
    ends = [*(x.chunk.start for x in streamed), size_bytes]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]


def in_arena(tiling: Tiling, streamed_chunks: Mapping[str, Sequence[LevelTransfer]]) -> Tiling:
    """Return the tiling of a layer that reads its streamed constants from the arena, where
    transfers put them, and the parts that stay in L2 from their own array.

    streamed_chunks   constant -> its transfers
    """
    operands = [o for o in tiling.kernel.operands if o.source in streamed_chunks]
    streamed = {o.name: streamed_chunks[str(o.source)] for o in operands}
    if not streamed:
        return tiling

    def placed(x: Transfer) -> Transfer:
        if x.operand not in streamed:
            return x
        before = [h for h in streamed[x.operand] if h.chunk.start <= x.at]
        source = before[-1] if before else None
        if source is not None and x.at < source.chunk.start + source.chunk.size_bytes:
            return replace(x, at=source.l2 + x.at - source.chunk.start)
        return replace(x, at=x.at - sum(h.chunk.size_bytes for h in before), stays=True)

    tiles = (replace(tile, loads=tuple(map(placed, tile.loads))) for tile in tiling.tiles)
    return replace(tiling, tiles=tuple(tiles))
