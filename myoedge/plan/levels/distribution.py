# SPDX-License-Identifier: Apache-2.0
"""Choice of the memory level from which each chunk of a constant is loaded.

All chunks begin in the levels whose bytes cost the most energy, which have the most room. While a
run waits for transfers, those it waits for move to cheaper levels, spread over the run, so that the
channels work at once. In a balanced distribution, if the run gets faster, each chunk then comes
from the level from which it arrives first, so that channels for which a run waits end together.
Then more chunks move to cheaper levels, those that are read most often first, as long as no run
gets slower.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from myoedge.numerics.arrays import round_up
from myoedge.plan.levels.transfers import ComputeCycles, Timeline, timeline
from myoedge.plan.timeline import Chunk, whole_words
from myoedge.targets.memories import MemoryLevel

ROUNDS = 16  # a level is filled in this many steps while a run waits
HALVINGS = 6  # of the bytes that move to save energy
SLOWER = 1.005  # factor on a run's cycles that the energy of a level may cost

Rates = tuple[list[float], list[int]]  # cycles and channel of each transfer
Item = TypeVar("Item", bound=Hashable)


def distribute(
    chunks: Sequence[Chunk],
    contents: Sequence[Hashable],
    computed: ComputeCycles,
    begins: Sequence[int] | None,
    levels: Sequence[MemoryLevel],
    *,
    balanced: bool = True,
) -> list[MemoryLevel]:
    """Return the level of each chunk.

    chunks     chunks in order of use
    contents   of each chunk; equal ones are stored once
    computed   compute cycles by timeline step
    begins     first timeline step of each transfer; None: they do not fit in L2
    levels     levels with their room
    balanced   whether channels should end together
    """
    if len(levels) == 1:
        return [*levels] * len(chunks)
    cheapest_first = sorted(levels, key=lambda level: level.pj_per_byte[1])
    run = _Run(chunks, contents, computed, cheapest_first, begins)
    run.start_in_dearest()
    for cheap in range(len(levels) - 1):
        run.move_while_waiting(cheap)
    if balanced:
        run.balance_channels()
    run.save_energy()
    return [cheapest_first[run.level[content]] for content in contents]


def tolerance(levels: Sequence[MemoryLevel]) -> float:
    """Return the factor on a run's cycles that less energy may cost: more than 1 if a choice of
    levels changes them too."""
    return SLOWER if len(levels) > 1 else 1.0


def transfer_rates(chunks: Sequence[Chunk], levels: Sequence[MemoryLevel]) -> Rates:
    """Return the cycles of each chunk's transfer, and the number of its channel.

    levels   level of each chunk
    """
    numbers: dict[str, int] = {}
    channels = [numbers.setdefault(level.channel, len(numbers)) for level in levels]
    pairs = zip(chunks, levels, strict=True)
    return [level.cycles(chunk.room_bytes) for chunk, level in pairs], channels


@dataclass(eq=False)
class _Run:
    """A run with its chunks in levels, the cheapest first.

    begins   first timeline step of each transfer; None: they do not fit in L2
    level    content -> number of its level
    """

    chunks: Sequence[Chunk]
    contents: Sequence[Hashable]
    computed: ComputeCycles
    levels: Sequence[MemoryLevel]
    begins: Sequence[int] | None
    level: dict[Hashable, int] = field(default_factory=dict)
    sizes: dict[Hashable, int] = field(default_factory=dict)
    turns: dict[Hashable, int] = field(default_factory=dict)

    def start_in_dearest(self) -> None:
        """Put each chunk into the last level with room for it."""
        last = len(self.levels) - 1
        for chunk, content in zip(self.chunks, self.contents, strict=True):
            self.turns[content] = self.turns.get(content, 0) + chunk.turns
            self.sizes[content] = chunk.room_bytes
        left = [level.room_bytes for level in self.levels]
        for content, size in self.sizes.items():
            sizes = [round_up(size, level.word_bytes) for level in self.levels]
            fits = (at for at in range(last, -1, -1) if sizes[at] <= left[at])
            self.level[content] = at = next(fits, last)
            left[at] -= sizes[at]

    def left(self, at: int) -> int:
        """Return the free bytes of a level."""
        level = self.levels[at]
        here = (self.sizes[content] for content, n in self.level.items() if n == at)
        return level.room_bytes - sum(round_up(size, level.word_bytes) for size in here)

    def timeline(self, level: Mapping[Hashable, int]) -> Timeline:
        """Estimate the run.

        level   content -> number of its level
        """
        levels = [self.levels[level[content]] for content in self.contents]
        costs, channels = transfer_rates(self.chunks, levels)
        needed = [chunk.first for chunk in self.chunks]
        return timeline(costs, self.begins or (), needed, self.computed, channels)

    def move_while_waiting(self, cheap: int) -> None:
        """Move chunks for which the run waits to a cheaper level, as many as make it fastest, those
        that are read most often first."""
        if self.begins is None:
            return
        now = self.timeline(self.level)
        best, fewest = dict(self.level), now.cycles
        for _ in range(ROUNDS):
            room = min(self.left(cheap), whole_words(self.levels[cheap].room_bytes // ROUNDS))
            moved = [*self._spread_evenly(self._late_contents(now, cheap), room, cheap)]
            if not moved:
                break
            self.level.update(dict.fromkeys(moved, cheap))
            now = self.timeline(self.level)
            if now.cycles < fewest:
                best, fewest = dict(self.level), now.cycles
        self.level = best

    def balance_channels(self) -> None:
        """Load each chunk from the dearest level from which it arrives in time, otherwise from that
        from which it arrives first, if this is faster: channels for which the run waits then end
        together. Chunks that are read most often come first."""
        if self.begins is None:
            return
        before, fewest = self.level, self.timeline(self.level).cycles
        arrivals = _Arrivals(self)
        of_loop: dict[tuple[int, int], list[int]] = {}
        for index, chunk in enumerate(self.chunks):
            of_loop.setdefault((chunk.earliest, chunk.turns), []).append(index)
        for own in sorted(of_loop.values(), key=lambda own: -self.chunks[own[0]].turns):
            arrivals.choose(own)
        self.level = arrivals.level
        if self.timeline(self.level).cycles >= fewest:
            self.level = before

    def _late_contents(self, now: Timeline, cheap: int) -> list[Hashable]:
        """Return the contents of dearer levels for which a run waits, those read most often."""
        late = dict.fromkeys(
            content
            for content, is_late in zip(self.contents, now.late, strict=True)
            if is_late and self.level[content] > cheap
        )
        most = max(map(self.turns.__getitem__, late), default=0)
        return [content for content in late if self.turns[content] == most]

    def save_energy(self) -> None:
        for cheap in range(len(self.levels) - 1):
            self.move_to_save_energy(cheap)

    def move_to_save_energy(self, cheap: int) -> None:
        """Move chunks to a cheaper level, those that are read most often first, as many as leave
        the run as fast as it is."""
        most = math.inf if self.begins is None else SLOWER * self.timeline(self.level).cycles
        for turns in sorted({*self.turns.values()}, reverse=True):
            dear = [x for x, n in self.level.items() if n > cheap and self.turns[x] == turns]
            low, high = 0, self.left(cheap)
            tried = high if dear else 0
            for _ in range(HALVINGS):
                moved = {
                    **self.level,
                    **dict.fromkeys(self._spread_evenly(dear, tried, cheap), cheap),
                }
                if self._fits_cycles(moved, most):
                    best, low = moved, tried
                else:
                    high = tried
                tried = (low + high + 1) // 2
            self.level = best if low else self.level

    def _fits_cycles(self, level: Mapping[Hashable, int], most: float) -> bool:
        return most == math.inf or self.timeline(level).cycles <= most

    def _spread_evenly(
        self, contents: Sequence[Hashable], room: int, cheap: int
    ) -> Iterator[Hashable]:
        """Return contents of at most `room` bytes together, spread evenly over the run."""
        unit = self.levels[cheap].word_bytes
        return spread({x: round_up(self.sizes[x], unit) for x in contents}, room)


class _Arrivals:
    """Levels chosen for chunks in order of use, by when they arrive.

    level   content -> number of its level, of those chosen
    """

    def __init__(self, run: _Run) -> None:
        self.run, self.level = run, dict[Hashable, int]()
        self.rooms = [level.room_bytes for level in run.levels]
        names = [level.channel for level in run.levels]
        self.channels = [names.index(name) for name in names]

    def choose(self, indices: Sequence[int]) -> None:
        """Choose the levels of chunks of a loop's body, or of all chunks outside of loops, in order
        of use."""
        run, begins = self.run, [*(self.run.begins or ())]
        own, work = run.chunks[indices[0]], run.computed
        cycles = work.cycles if own.turns > 1 else work.of_all_turns
        until = [*itertools.accumulate(cycles, initial=0.0)]
        waiting, ends = [*reversed(indices)], dict[int, float]()
        now, free = 0.0, [0.0] * len(self.rooms)
        first, last = own.earliest, max(run.chunks[n].first for n in indices)
        for step in range(first, last + 1):
            while waiting and begins[waiting[-1]] <= step:
                index = waiting.pop()
                needed = run.chunks[index].first
                due = now + until[needed + 1] - until[step]
                end = self._load(index, now, due, free)
                ends[needed] = max(ends.get(needed, 0.0), end)
            now = max(now + cycles[step], ends.get(step, 0.0))

    def _load(self, index: int, now: float, due: float, free: list[float]) -> float:
        """Choose a chunk's level if it is not known; return when the chunk arrives.

        now, due   cycles at which its transfer may begin, and should have ended
        free       per channel, cycles at which its transfers end; changed
        """
        content = self.run.contents[index]
        size = self.run.sizes[content]

        def end(n: int) -> float:
            return max(free[self.channels[n]], now) + self.run.levels[n].cycles(size)

        if content not in self.level:
            self._choose_level(content, end, due)
        best = self.level[content]
        free[self.channels[best]] = arrived = end(best)
        return arrived

    def _choose_level(self, content: Hashable, end: Callable[[int], float], due: float) -> None:
        sizes = [round_up(self.run.sizes[content], x.word_bytes) for x in self.run.levels]
        dearest_first = range(len(sizes) - 1, -1, -1)
        fits = [n for n in dearest_first if sizes[n] <= self.rooms[n]] or [dearest_first[0]]
        best = next((n for n in fits if end(n) <= due), min(fits, key=end))
        self.level[content] = best
        self.rooms[best] -= sizes[best]


def spread(sizes: Mapping[Item, int], room: int) -> Iterator[Item]:
    """Yield items of at most `room` bytes together, spread evenly over their order.

    sizes   item -> bytes
    """
    share, due = min(room / max(sum(sizes.values()), 1), 1.0), 0.0
    for item, size in sizes.items():
        due += share * size
        if 2 * due >= size and size <= room:
            due, room = due - size, room - size
            yield item


def with_room(levels: Sequence[MemoryLevel], taken: dict[str, int]) -> tuple[MemoryLevel, ...]:
    """Return the levels with the bytes that other data takes reserved.

    taken   level -> bytes
    """
    return tuple(
        replace(level, reserved_bytes=level.reserved_bytes + taken.get(level.name, 0))
        for level in levels
    )
