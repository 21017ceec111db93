# SPDX-License-Identifier: Apache-2.0
"""Offsets of buffers in one arena, so that buffers alive at the same time do not overlap and the
arena is small."""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right, insort
from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter

from myoedge.numerics.arrays import round_up

# CP-SAT's deterministic work units: 150 buffers need about 0.02. With 500 buffers, 1.0 takes some
# 10 s of CPU. Work grows with pairs of buffers, so larger problems get less.
DETERMINISTIC_TIME = 4.0
FEW = 300  # up to this many buffers get the full limit
MANY = 1000  # with more buffers, building the model takes too long


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


Allocator = Callable[[Sequence[LiveRange], int], Placement]


def lower_bound(lives: Sequence[LiveRange], alignment: int) -> int:
    """Return the maximum bytes alive in one step, a lower bound of the arena of any placement.

    lives       buffers
    alignment   bytes of which every offset is a multiple
    """
    return peak(lives, alignment)[0]


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


def greedy(lives: Sequence[LiveRange], alignment: int) -> dict[str, int]:
    """Return offsets of buffers: the largest first, each at the lowest offset that is free during
    its life.

    lives       buffers
    alignment   bytes of which every offset is a multiple
    """
    offsets: dict[str, int] = {}
    placed = LiveRangeIndex()
    for life in sorted(lives, key=_placement_order):
        taken = sorted((offsets[p.name], p.size_bytes) for p in placed.meeting(life))
        offsets[life.name] = first_gap(taken, life.size_bytes, alignment)
        placed.add(life)
    return offsets


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


def place(lives: Sequence[LiveRange], alignment: int) -> Placement:
    """Place buffers greedily; if that does not reach the lower bound, search with CP-SAT (ortools,
    if installed).

    CP-SAT gets a smaller work limit for more than FEW buffers, and is not used for more than MANY.
    Equal buffers get equal offsets on every machine.
    """
    offsets = greedy(lives, alignment)
    bound, size = lower_bound(lives, alignment), height(lives, offsets, alignment)
    if size == bound:
        return Placement(offsets, size, bound, True)
    if len(lives) > MANY:
        return Placement(offsets, size, bound, False)
    better, proven = _pack_buffers(lives, alignment, offsets, bound, size)
    return Placement(better, height(lives, better, alignment), bound, proven)


def height(lives: Sequence[LiveRange], offsets: dict[str, int], alignment: int) -> int:
    """Return the bytes of the arena that buffers take at these offsets."""
    return max((round_up(offsets[x.name] + x.size_bytes, alignment) for x in lives), default=0)


def _pack_buffers(
    lives: Sequence[LiveRange], alignment: int, hint: dict[str, int], bound: int, most: int
) -> tuple[dict[str, int], bool]:
    """Pack the buffers with CP-SAT: live ranges are given, offsets are searched, with one worker
    for repeatable results."""
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        return hint, False
    model = cp_model.CpModel()
    top = model.new_int_var(bound // alignment, most // alignment, "top")
    offsets, times, spans = {}, [], []
    for life in lives:
        units = round_up(life.size_bytes, alignment) // alignment
        offsets[life.name] = at = model.new_int_var(0, most // alignment - units, life.name)
        model.add_hint(at, hint[life.name] // alignment)
        spans.append(model.new_fixed_size_interval_var(at, units, life.name))
        times.append(model.new_fixed_size_interval_var(life.first, life.last - life.first + 1, "t"))
        model.add(at + units <= top)
    model.add_no_overlap_2d(times, spans)
    model.minimize(top)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    share = min(FEW / max(len(lives), 1), 1.0) ** 2
    solver.parameters.max_deterministic_time = DETERMINISTIC_TIME * share
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, False
    found = {name: solver.value(at) * alignment for name, at in offsets.items()}
    return found, status == cp_model.OPTIMAL
