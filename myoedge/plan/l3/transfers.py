# SPDX-License-Identifier: Apache-2.0
"""From L3 into L2 ahead of use: when each haul starts, where its bytes go, what it costs."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.plan.l1.tiling import Tiling, Transfer
from myoedge.plan.placement import Life
from myoedge.plan.timeline import Piece
from myoedge.targets.chip import Chip


@dataclass(frozen=True, slots=True)
class Haul:
    """A piece on its way: L3's controller moves one behind the other, in the order of the plan.

    l3, l2   where it lies in L3, and where in the arena
    begins   the moment from which on it may move
    out      to L3: its place in L2 is its own until it has ended
    """

    piece: Piece
    l3: int
    l2: int
    begins: int
    out: bool = False

    @property
    def needed(self) -> int:
        """The moment that waits for its end."""
        return self.piece.last + 1 if self.out else self.piece.first

    @property
    def since(self) -> int:
        """The moment from which on its place in L2 is its own."""
        return self.piece.first if self.out else self.begins


@dataclass(frozen=True, slots=True)
class Rate:
    """Of L3, in cycles of the cluster: for every byte, and for every haul beside its bytes."""

    byte: float
    haul: float

    @staticmethod
    def of(chip: Chip) -> Rate:
        return Rate(chip.point.clock_hz / chip.l3_bytes_per_s, chip.transfers.l3_start_cycles)

    def cycles(self, piece: Piece) -> float:
        return self.haul + self.byte * piece.size_bytes


@dataclass(frozen=True, slots=True)
class Computed:
    """What the moments of a run compute.

    cycles   of each, without what it waits for
    helped   those in which the core that waits for hauls computes behind that
    """

    cycles: Sequence[float]
    helped: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """What hauls make of a run: its cycles, and which of them it waits for.

    late   of every haul: whether it, or one behind it without a pause between, comes too late
    """

    cycles: float
    late: tuple[bool, ...]


def in_order(pieces: Sequence[Piece]) -> list[Piece]:
    return sorted(pieces, key=lambda p: (p.first, p.step, p.last, p.array, p.start))


def timeline(
    costs: Sequence[float],
    begins: Sequence[int],
    needed: Sequence[int],
    computed: Computed,
) -> Timeline:
    """Of hauls in order, by their cycles."""
    now = free = 0.0
    ends: list[float] = []
    pauses: list[bool] = []  # whether L3 stood still before it
    waited = [False] * len(costs)
    wanted = sorted(range(len(costs)), key=lambda n: needed[n])
    read = 0
    for moment, duration in enumerate(computed.cycles):
        while len(ends) < len(costs) and begins[len(ends)] <= moment:
            pauses.append(now > free)
            free = max(free, now) + costs[len(ends)]
            ends.append(free)
        then = now + duration
        while read < len(wanted) and needed[wanted[read]] <= moment:
            end = ends[wanted[read]] + (duration if moment in computed.helped else 0.0)
            waited[wanted[read]] = end > then
            then = max(then, end)
            read += 1
        now = then
    return Timeline(now, tuple(_blamed(waited, pauses)))


def _blamed(waited: Sequence[bool], pauses: Sequence[bool]) -> list[bool]:
    blamed, behind = [False] * len(pauses), False
    for index in reversed(range(len(pauses))):
        blamed[index] = behind or waited[index]
        behind = blamed[index] and not pauses[index]
    return blamed


def queued(pieces: Sequence[Piece], window: int) -> tuple[list[int], int | None]:
    """When hauls can start where so many bytes of L2 are theirs, wherever these lie.

    -> (moments, the first one for which there is no room in time, or None)
    """
    begins: list[int] = []
    alive: list[tuple[int, int]] = []
    taken = begin = 0
    for index, piece in enumerate(pieces):
        while alive and taken + piece.room_bytes > window:
            last, size = heapq.heappop(alive)
            begin, taken = max(begin, last + 1), taken - size
        if begin > piece.first or piece.room_bytes > window:
            return begins, index
        begins.append(begin)
        heapq.heappush(alive, (piece.last, piece.room_bytes))
        taken += piece.room_bytes
    return begins, None


def place_hauls(
    pieces: Sequence[Piece],
    others: Sequence[tuple[int, Life]],
    room: int,
    maps: Sequence[Haul] = (),
) -> list[Haul] | None:
    """Each where it can start earliest, at the lowest such offset; None where one finds no place.

    others   (offset, life in moments) of what else lies in the arena, windows of maps among them
    maps     hauls of feature maps, which have their places: they take their turn among the others
    """
    # rows: offset, end, first and last moment
    taken = [(at, at + life.size_bytes, life.first, life.last) for at, life in others]
    hauls: list[Haul] = []
    l3 = begin = 0
    turn = {id(haul): haul.begins if haul.out else haul.piece.first for haul in maps}
    queue: list[Haul | Piece] = [*maps, *pieces]
    queue.sort(key=lambda x: (turn[id(x)] if isinstance(x, Haul) else x.first, id(x) not in turn))
    for item in queue:
        if isinstance(item, Haul):
            begin = max(begin, item.begins)
            hauls.append(replace(item, begins=begin))
            continue
        taken = [row for row in taken if row[3] >= begin]
        found = _earliest(item, taken, begin, room)
        if found is None:
            return None
        begin, at = found
        hauls.append(Haul(item, l3, at, begin))
        taken.append((at, at + item.room_bytes, begin, item.last))
        l3 += item.room_bytes
    return hauls


def _earliest(
    piece: Piece, taken: Sequence[tuple[int, int, int, int]], begin: int, room: int
) -> tuple[int, int] | None:
    """(moment, offset) of the earliest start that is not before `begin`."""
    rows = np.array([row for row in taken if row[2] <= piece.last], np.int64).reshape(-1, 4)
    size = piece.room_bytes
    places = np.unique([0, *_up(rows[:, 1]), *(rows[:, 0] - size)])
    places = places[(places >= 0) & (places + size <= room)]
    if not len(places):
        return None
    meets = (places[:, None] < rows[:, 1]) & (rows[:, 0] < places[:, None] + size)
    free = np.where(meets, rows[:, 3] + 1, begin).max(1, initial=begin)
    best = int(free.argmin())
    return None if free[best] > piece.first else (int(free[best]), int(places[best]))


def _up(offsets: np.ndarray) -> np.ndarray:
    return -(-offsets // 4) * 4


def turns(hauls: Sequence[Haul]) -> Iterator[tuple[int, int, int]]:
    """(moment, hauls that may move from then on, hauls that have to be over) where these change."""
    begins = [haul.begins for haul in hauls]
    over = dict.fromkeys(begins, 0)
    for number, haul in enumerate(hauls, 1):
        over[haul.needed] = max(over.get(haul.needed, 0), number)
    ended = 0
    for moment in sorted(over):
        ended = max(ended, over[moment])
        yield moment, bisect_right(begins, moment), ended


def in_arena(tiling: Tiling, hauled: Mapping[str, Sequence[Haul]]) -> Tiling:
    """A layer that reads these arrays, by name, where hauls put them: offsets are the arena's."""
    far = {o.name: hauled[str(o.source)] for o in tiling.tiled.operands if o.source in hauled}
    if not far:
        return tiling

    def placed(x: Transfer) -> Transfer:
        if x.operand not in far:
            return x
        haul = next(h for h in reversed(far[x.operand]) if h.piece.start <= x.at)
        return replace(x, at=haul.l2 + x.at - haul.piece.start)

    tiles = (replace(tile, loads=tuple(map(placed, tile.loads))) for tile in tiling.tiles)
    return replace(tiling, tiles=tuple(tiles))
