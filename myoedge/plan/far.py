# SPDX-License-Identifier: Apache-2.0
"""Feature maps that lie in L3: layers write and read them part by part, through windows in L2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from myoedge.plan.moments import WORD, Clock, Piece
from myoedge.plan.place import Life
from myoedge.plan.stream import Haul
from myoedge.plan.tiling import Tiling, Transfer
from myoedge.tiled import Operand

SLOTS = 2  # of a window: one moves while the other is used


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of an operand that move as one, and the tiles from first to last that use them."""

    start: int
    size_bytes: int
    first: int
    last: int

    @property
    def room_bytes(self) -> int:
        return -(-self.size_bytes // WORD) * WORD


@dataclass(frozen=True, slots=True)
class Access:
    """A layer that reads or writes a feature map in L3.

    tensor, offset   the map, and where in it the operand starts, in bytes
    parts            in the order of the tiles; those that are read may overlap
    """

    step: int
    operand: str
    written: bool
    tensor: str
    offset: int
    parts: tuple[Part, ...]

    @property
    def slot_bytes(self) -> int:
        return max(part.room_bytes for part in self.parts)

    def window(self, last: int) -> Life:
        """Its buffer in the arena, in steps; what is written leaves it during the next layer."""
        name = f"{self.tensor} {'to' if self.written else 'from'} L3, step {self.step}"
        size = self.slot_bytes * min(SLOTS, len(self.parts))
        return Life(name, size, self.step, min(self.step + self.written, last))

    def part_of(self, tile: int) -> int:
        return next(n for n, part in enumerate(self.parts) if part.first <= tile <= part.last)


def access(
    step: int, tiling: Tiling, operand: Operand, tensor: str, offset: int, most: int
) -> Access | None:
    """In parts of at most so many bytes, where tiles are small; None where no parts can be moved.

    Parts start at words; what is written in one is all of its bytes.
    """
    found: list[Part] = []
    for low, high, first, last in _groups(tiling, operand, most):
        start = low - (low + offset) % WORD
        if operand.written and start != low:
            return None
        found.append(Part(start, high - start, first, last))
    return Access(step, operand.name, operand.written, tensor, offset, tuple(found))


def _groups(tiling: Tiling, operand: Operand, most: int) -> Iterator[tuple[int, int, int, int]]:
    """(first byte, byte behind the last, first tile, last tile)"""
    group: tuple[int, int, int] | None = None
    held = last = 0
    for t, tile in enumerate(tiling.tiles):
        moved = [x for x in (*tile.loads, *tile.stores) if x.operand == operand.name]
        if not moved:
            continue
        low, high = min(x.at for x in moved), max(_end(x) for x in moved)
        if group is not None:
            whole = not operand.written or (
                held == group[1] - group[0] and group[1] % WORD == 0 and group[0] <= low
            )
            grown = max(high, group[1]) - min(low, group[0])
            if whole and grown > most:
                yield *group[:2], group[2], t - 1
                group, held = None, 0
        if group is None:
            group = (low, high, t)
        group = (min(low, group[0]), max(high, group[1]), group[2])
        held += sum(x.bytes for x in moved)
        last = t
    if group is not None:
        yield *group[:2], group[2], max(last, len(tiling.tiles) - 1)


def _end(x: Transfer) -> int:
    return x.at + (x.bytes // x.line - 1) * x.stride + x.line


def far_hauls(found: Access, tiling: Tiling, clock: Clock, l3: int, l2: int) -> list[Haul]:
    """The hauls of all parts: l3 is where the map starts there, l2 the window in the arena."""
    moments = list(_moments(found, tiling, clock))
    hauls = []
    for n, (part, (first, last)) in enumerate(zip(found.parts, moments, strict=True)):
        at = l2 + n % SLOTS * found.slot_bytes
        begins, end = _turn(found, clock, moments, n)
        span = (first, end) if found.written else (first, last)
        piece = Piece(
            found.step, found.operand, part.start, part.size_bytes, *span, tensor=found.tensor
        )
        hauls.append(Haul(piece, l3 + found.offset + part.start, at, begins, out=found.written))
    return hauls


def _moments(found: Access, tiling: Tiling, clock: Clock) -> Iterator[tuple[int, int]]:
    """First and last moment in which transfers between L1 and L2 touch a part."""
    enter, count = clock.enters[found.step], len(tiling.tiles)
    for part in found.parts:
        tiles = [
            t
            for t in range(part.first, part.last + 1)
            for x in (*tiling.tiles[t].loads, *tiling.tiles[t].stores)
            if x.operand == found.operand
        ]
        if found.written:
            yield (
                min(enter + tiles[0] + 2, enter + count),
                min(enter + tiles[-1] + 2, enter + count),
            )
        else:
            yield enter + tiles[0], enter + tiles[-1]


def _turn(
    found: Access, clock: Clock, moments: Sequence[tuple[int, int]], n: int
) -> tuple[int, int]:
    """(moment in which a haul may begin, last moment in which its slot is its own)"""
    if not found.written:
        begins = moments[n - SLOTS][1] + 1 if n >= SLOTS else clock.enters[found.step]
        return begins, moments[n][1]
    behind = clock.enters[min(found.step + 2, len(clock.enters) - 1)]
    end = moments[n + SLOTS][0] if n + SLOTS < len(moments) else behind
    return moments[n][1] + 1, end - 1


def through_windows(
    tiling: Tiling, accesses: Sequence[Access], windows: Mapping[str, int]
) -> Tiling:
    """A layer whose transfers go to and from windows, by operand: offsets are the arena's."""
    by_name = {a.operand: a for a in accesses}
    if not by_name:
        return tiling

    def placed(t: int, x: Transfer) -> Transfer:
        if x.operand not in by_name:
            return x
        mine = by_name[x.operand]
        n = mine.part_of(t)
        slot = windows[x.operand] + n % SLOTS * mine.slot_bytes
        return replace(x, at=slot + x.at - mine.parts[n].start)

    tiles = tuple(
        replace(
            tile,
            loads=tuple(placed(t, x) for x in tile.loads),
            stores=tuple(placed(t, x) for x in tile.stores),
        )
        for t, tile in enumerate(tiling.tiles)
    )
    return replace(tiling, tiles=tiles)
