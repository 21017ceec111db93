# SPDX-License-Identifier: Apache-2.0
"""Offsets of buffers in one arena, so that buffers alive at the same time do not overlap and the
arena is small."""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_right, insort
from collections import ChainMap, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import Protocol

from myoedge.numerics.arrays import round_up


@dataclass(frozen=True, slots=True)
class LiveRange:
    """A buffer and the steps during which it is alive.

    first, last   first and last step that touches it
    """

    name: str
    size_bytes: int
    first: int
    last: int

    @property
    def steps(self) -> tuple[int, int]:
        return self.first, self.last

    def meets(self, other: LiveRange) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets of buffers in the arena.

    offsets             buffer -> offset in bytes
    arena_bytes         size of the arena
    lower_bound_bytes   lower bound of that size
    proven              whether no smaller arena exists
    """

    offsets: dict[str, int]
    arena_bytes: int
    lower_bound_bytes: int
    proven: bool


@dataclass(frozen=True, slots=True)
class Replacement:
    """Two buffers that may overlap, because a layer writes one over what it has read of the other.

    read, written    their names
    distance_bytes   the least by which `read` starts above `written`; negative: it may start below
    multiple         bytes of which the distance is a multiple
    """

    read: str
    written: str
    distance_bytes: int
    multiple: int = 1

    def rounded(self, alignment: int) -> Replacement:
        """Return the replacement for buffers at multiples of `alignment` bytes."""
        multiple = math.lcm(self.multiple, alignment)
        return replace(
            self, distance_bytes=int(round_up(self.distance_bytes, multiple)), multiple=multiple
        )

    def allows(self, read: int, written: int) -> bool:
        """Return whether the buffers may start at these offsets."""
        apart = read - written
        return apart >= self.distance_bytes and apart % self.multiple == 0


Pairs = Mapping[tuple[str, str], Replacement]  # by the buffers that are read and written
NO_PAIRS: Pairs = MappingProxyType({})


class Allocator(Protocol):
    """A function that places buffers, given the alignment of offsets and pairs that may overlap."""

    def __call__(
        self, lives: Sequence[LiveRange], alignment: int, may_replace: Sequence[Replacement] = ()
    ) -> Placement: ...


def lower_bound(lives: Sequence[LiveRange], alignment: int, may_replace: Pairs = NO_PAIRS) -> int:
    """Return a lower bound of the arena of any placement: the maximum bytes alive in one step,
    without the buffers that are read, or those that are written, if they may overlap.

    lives       buffers
    alignment   bytes of which every offset is a multiple
    """
    if not may_replace:
        return peak(lives, alignment)[0]
    read, written = ({pair[side] for pair in may_replace} for side in (0, 1))
    before = [replace(x, last=x.last - (x.name in read)) for x in lives]
    behind = [replace(x, first=x.first + (x.name in written)) for x in lives]
    return max(peak(before, alignment)[0], peak(behind, alignment)[0])


def peak(lives: Sequence[LiveRange], alignment: int) -> tuple[int, int]:
    """Return the maximum bytes alive in one step, and the first such step."""
    change: defaultdict[int, int] = defaultdict(int)
    for life in lives:
        change[life.first] += round_up(life.size_bytes, alignment)
        change[life.last + 1] -= round_up(life.size_bytes, alignment)
    steps = sorted(change)
    alive = itertools.accumulate(change[step] for step in steps)
    return max(zip(alive, steps, strict=True), key=itemgetter(0), default=(0, 0))


@dataclass(eq=False)
class LiveRangeIndex:
    """An index of buffers by live range, to find the buffers alive at the same time quickly.

    starts   buffers in the order of their first steps
    blocks   (level, number) -> buffers alive in all 2**level steps of a block, but not of the
             enclosing block
    """

    starts: list[LiveRange] = field(default_factory=list)
    blocks: defaultdict[tuple[int, int], list[LiveRange]] = field(
        default_factory=lambda: defaultdict(list)
    )
    levels: int = 0

    def add(self, life: LiveRange) -> None:
        insort(self.starts, life, key=attrgetter("first"))
        low, end, level = life.first, life.last + 1, 0
        while low < end:
            if low % 2:
                self.blocks[level, low].append(life)
            if end % 2:
                self.blocks[level, end - 1].append(life)
            low, end, level = (low + 1) // 2, end // 2, level + 1
        self.levels = max(self.levels, level)

    def meeting(self, life: LiveRange) -> Iterator[LiveRange]:
        """Yield buffers that are alive in one of the steps of a live range."""
        ends = (bisect_right(self.starts, x, key=attrgetter("first")) for x in life.steps)
        yield from self.starts[slice(*ends)]
        for level in range(self.levels):
            yield from self.blocks.get((level, life.first >> level), ())


def _placement_order(life: LiveRange) -> tuple[int, int, str]:
    """Return the sort key of a buffer: largest first, then earliest first step."""
    return -life.size_bytes, life.first, life.name


def greedy(
    lives: Sequence[LiveRange], alignment: int, may_replace: Pairs = NO_PAIRS
) -> dict[str, int]:
    """Return offsets of buffers: the largest first, each at the lowest offset that is free during
    its life.

    lives       buffers
    alignment   bytes of which every offset is a multiple
    """
    offsets: dict[str, int] = {}
    placed = LiveRangeIndex()
    for life in sorted(lives, key=_placement_order):
        beside = [*placed.meeting(life)]
        taken = sorted((offsets[p.name], p.size_bytes) for p in beside)
        at = first_gap(taken, life.size_bytes, alignment)
        if may_replace:
            left = sorted(_taken_beside(life, p, offsets[p.name], may_replace) for p in beside)
            lower = first_gap(left, life.size_bytes, alignment)
            fits = (_is_apart(life, lower, p, offsets[p.name], may_replace) for p in beside)
            at = lower if all(fits) else at
        offsets[life.name] = at
        placed.add(life)
    return offsets


def _taken_beside(
    life: LiveRange, other: LiveRange, at: int, may_replace: Pairs
) -> tuple[int, int]:
    """Return the (offset, size) that another buffer, at offset `at`, takes from a buffer."""
    if pair := may_replace.get((life.name, other.name)):
        return at, max(pair.distance_bytes, 0)
    if pair := may_replace.get((other.name, life.name)):
        start = at - pair.distance_bytes + life.size_bytes
        return start, max(at + other.size_bytes - start, 0)
    return at, other.size_bytes


def _is_apart(life: LiveRange, at: int, other: LiveRange, there: int, may_replace: Pairs) -> bool:
    """Return whether two buffers share no bytes, or may do so, at these offsets."""
    if at + life.size_bytes <= there or there + other.size_bytes <= at:
        return True
    read, written = (may_replace.get(x) for x in ((life.name, other.name), (other.name, life.name)))
    return (read is not None and read.allows(at, there)) or (
        written is not None and written.allows(there, at)
    )


@dataclass(eq=False)
class GrowingPlacement:
    """The result of `greedy`, updated as buffers are added one by one."""

    alignment: int
    offsets: dict[str, int] = field(default_factory=dict)
    placed: LiveRangeIndex = field(default_factory=LiveRangeIndex)

    def with_one_more(self, added: LiveRange) -> dict[str, int]:
        """Return the offsets that change if a buffer is added, its own included, without adding
        it."""
        moved: dict[str, int] = {}
        now = ChainMap(moved, self.offsets)
        pending, seen = [(_placement_order(added), added)], {added.name}
        while pending:
            turn, life = heapq.heappop(pending)
            beside = self._live_neighbours(life, added)
            before = [p for p in beside if _placement_order(p) < turn]
            taken = sorted((now.get(p.name, 0), p.size_bytes) for p in before)
            at = first_gap(taken, life.size_bytes, self.alignment)
            if at != self.offsets.get(life.name):
                moved[life.name] = at
                for p in beside:
                    if _placement_order(p) > turn and p.name not in seen:
                        seen.add(p.name)
                        heapq.heappush(pending, (_placement_order(p), p))
        return moved

    def _live_neighbours(self, life: LiveRange, added: LiveRange) -> list[LiveRange]:
        """Return the buffers that are alive together with `life`, including the one being added."""
        beside = [other for other in self.placed.meeting(life) if other.name != life.name]
        return [*beside, added] if life is not added and life.meets(added) else beside

    def add(self, added: LiveRange, moved: dict[str, int]) -> None:
        """Add a buffer to the placement.

        moved   offsets that `with_one_more` returned for it
        """
        self.placed.add(added)
        self.offsets.update(moved)


def first_gap(taken: Sequence[tuple[int, int]], size: int, alignment: int) -> int:
    """Return the lowest free offset for `size` bytes.

    taken   occupied (offset, size) pairs, ascending
    """
    offset = 0
    for start, length in taken:
        if offset + size <= start:
            break
        offset = max(offset, round_up(start + length, alignment))
    return offset


def height(lives: Sequence[LiveRange], offsets: dict[str, int], alignment: int) -> int:
    """Return the bytes of the arena that buffers take at these offsets."""
    return max((round_up(offsets[x.name] + x.size_bytes, alignment) for x in lives), default=0)
