# SPDX-License-Identifier: Apache-2.0
"""Timeline steps of a run (intervals between barriers), and the steps in which constants are
read."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from myoedge.numerics.arrays import Count, round_up
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.loops import LoopLayers
from myoedge.plan.placement import LiveRange

WORD = 4  # bytes: unit of transfers between L3 and L2
NO_PASSES: Mapping[int, int] = MappingProxyType({})


def whole_words(size_bytes: Count) -> Count:
    """Round bytes up to a multiple of 4."""
    return round_up(size_bytes, WORD)


@dataclass(frozen=True, slots=True)
class LoopSteps:
    """The timeline steps of a loop's body.

    first, end   half-open range of timeline steps
    turns        number of iterations
    """

    first: int
    end: int
    turns: int

    def __contains__(self, timeline_step: int) -> bool:
        return self.first <= timeline_step < self.end


@dataclass(frozen=True, slots=True)
class TimelineSteps:
    """Numbering of timeline steps: one before each layer, and one per tile, or per tile of a pass.

    A transfer that starts in a step ends before the next one, except between L3 and L2.
    enters   step before each layer, and after the last one
    firsts   first tile of each layer, by its number over the whole network
    loops    loop bodies, and passes of layers; their steps have the same numbers in all iterations
    """

    enters: tuple[int, ...]
    firsts: tuple[int, ...] = ()
    loops: tuple[LoopSteps, ...] = ()

    @staticmethod
    def of(
        tilings: Sequence[Tiling | None],
        copies: bool,
        loops: Sequence[LoopLayers] = (),
        passes: Mapping[int, int] = NO_PASSES,
    ) -> TimelineSteps:
        """Number the timeline steps of a network.

        copies   whether outputs are copied at the end, which counts as one more layer with one tile
        loops    loop bodies
        passes   layer -> number of its passes, for layers whose timeline steps are those of one
        """
        counts = [1 if tiling is None else len(tiling.tiles) for tiling in tilings]
        firsts = [*itertools.accumulate((*counts, *((1,) if copies else ())), initial=0)]
        enters = [0]
        for index, (first, end) in enumerate(itertools.pairwise(firsts)):
            enters.append(enters[-1] + 1 + (end - first) // passes.get(index, 1))
        spans = [LoopSteps(enters[x.first], enters[x.last + 1], x.steps) for x in loops]
        spans += [LoopSteps(enters[at] + 1, enters[at + 1], n) for at, n in passes.items()]
        in_order = sorted(spans, key=lambda loop: loop.first)
        return TimelineSteps(tuple(enters), tuple(firsts), tuple(in_order))

    @property
    def count(self) -> int:
        return self.enters[-1]

    def layer(self, timeline_step: int) -> int:
        return bisect_right(self.enters, timeline_step) - 1

    def period(self, index: int) -> int:
        """Return the tiles of a layer, or those of one of its passes."""
        return self.enters[index + 1] - self.enters[index] - 1

    def stage(self, index: int, number: int) -> int:
        """Return a timeline step of a layer: 0 is the one before it, n that of its nth tile."""
        return self.enters[index] + (number and 1 + (number - 1) % self.period(index))

    def count_in_stage(self, counts: Mapping[int, int], index: int, number: int) -> int:
        """Return the count of a layer's timeline step, numbered as in `stage`; 0 without one."""
        return counts.get(self.stage(index, number), 0) if counts else 0

    def beside(self, tile: int) -> int:
        """Return the timeline step in which a tile is computed; of a layer with passes, the one
        before them.

        tile   its number over the whole network
        """
        index = bisect_right(self.firsts, tile) - 1
        number = 0 if self.passes[index] else tile - self.firsts[index] + 1
        return self.stage(index, number)

    @property
    def passes(self) -> tuple[int, ...]:
        """Tiles of a pass of each layer; 0 if it has no passes."""
        counts = (end - first for first, end in itertools.pairwise(self.firsts))
        periods = map(self.period, range(len(self.firsts) - 1))
        rows = zip(periods, counts, strict=True)
        return tuple(period if period < count else 0 for period, count in rows)

    def loop_at(self, timeline_step: int) -> LoopSteps | None:
        """Return the loop whose body a step belongs to; None outside loops."""
        return next((loop for loop in self.loops if timeline_step in loop), None)

    def earliest(self, timeline_step: int) -> int:
        """Return the first step in which a transfer for `timeline_step` may run: the first one of
        its loop, or 0."""
        loop = self.loop_at(timeline_step)
        return 0 if loop is None else loop.first

    def turns(self, timeline_step: int) -> int:
        """Return how often a step runs per inference: the iterations of its loop, or 1."""
        loop = self.loop_at(timeline_step)
        return 1 if loop is None else loop.turns

    def alive(self, life: LiveRange) -> LiveRange:
        """Convert a live range in layers to one in timeline steps."""
        last = self.enters[life.last + 1] - 1
        return LiveRange(life.name, life.size_bytes, self.enters[life.first], last)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of bytes of a constant or feature map that one L3 transfer moves, and the steps that
    need it.

    step          layer
    array         its constant, or its operand for a feature map
    start         byte offset in the array
    size_bytes    number of bytes
    first, last   timeline steps that need it
    tensor        name of the feature map; "" for constants
    earliest      first timeline step in which the transfer may run
    turns         number of transfers per inference: the iterations of the layer's loop, or 1
    """

    step: int
    array: str
    start: int
    size_bytes: int
    first: int
    last: int
    tensor: str = ""
    earliest: int = 0
    turns: int = 1

    @property
    def room_bytes(self) -> int:
        """Bytes in L2: the size rounded up to words."""
        return whole_words(self.size_bytes)


def candidates(
    tilings: Sequence[Tiling],
) -> Iterator[tuple[int, str, int]]:
    """Yield (layer, constant, bytes) for every constant that may be streamed from L3; those that
    stay in L1 for a loop may not."""
    for index, tiling in enumerate(tilings):
        for operand in tiling.kernel.operands:
            if operand.constant and operand.name not in tiling.resident:
                yield index, str(operand.source), tiling.kernel.arrays[str(operand.source)].nbytes


def chunks(
    index: int,
    array: str,
    size_bytes: int,
    tiling: Tiling,
    timeline_steps: TimelineSteps,
    most: int,
) -> list[Chunk]:
    """Split a constant of layer `index` into chunks for L3 transfers.

    array            name of the constant
    size_bytes       its size
    timeline_steps   numbering of the timeline steps
    most             maximum bytes of a chunk, unless a single tile loads more: what a tile loads is
                     not split
    """
    enter = timeline_steps.enters[index]
    operand = next(o for o in tiling.kernel.operands if o.source == array)
    if operand.name in tiling.choice.in_l2:
        leave = timeline_steps.enters[index + 1]
        return [
            _with_loop_limits(Chunk(index, array, 0, size_bytes, enter, leave - 1), timeline_steps)
        ]
    reads = list(reads_of(tiling, operand.name, index, timeline_steps))
    ends = [*_chunk_ends(reads, size_bytes, most)]
    readers: list[list[int]] = [[] for _ in ends]
    for timeline_step, low, _ in reads:  # each reads bytes of one chunk
        readers[bisect_right(ends, low)].append(timeline_step)
    parts = []
    for start, stop, by in zip([0, *ends], ends, readers, strict=False):
        part = Chunk(
            index, array, start, stop - start, min(by, default=enter), max(by, default=enter)
        )
        parts.append(_with_loop_limits(part, timeline_steps))
    return parts


def _with_loop_limits(chunk: Chunk, timeline_steps: TimelineSteps) -> Chunk:
    """Return the chunk with the limits of the loops in the network."""
    earliest, turns = timeline_steps.earliest(chunk.first), timeline_steps.turns(chunk.first)
    return replace(chunk, earliest=earliest, turns=turns)


def reads_of(
    tiling: Tiling, operand: str, index: int, timeline_steps: TimelineSteps
) -> Iterator[tuple[int, int, int]]:
    """Yield (timeline step, first byte, end) for every load of an operand of layer `index` into L1,
    of passes for the first two.

    Prefetched constants are needed from the start of their transfer until the layer starts;
    operands with more than two buffers until the step before their tile.
    """
    for t, tile in enumerate(tiling.tiles[: 2 * timeline_steps.period(index)]):
        moved = [x for x in tile.loads if x.operand == operand]
        if moved:
            span = (min(x.at for x in moved), max(x.end for x in moved))
            stages = {timeline_steps.stage(index, n) for n in (tiling.loads_in(t), t)}
            for timeline_step in sorted(stages):
                yield (timeline_step, *span)
            if (ahead := tiling.begun_ahead(t, moved[0])) is not None:
                yield (timeline_steps.beside(ahead), *span)


def _chunk_ends(reads: Sequence[tuple[int, int, int]], size: int, most: int) -> Iterator[int]:
    """Yield the ends of chunks: as large as `most` allows, at word boundaries, never within a
    tile's load."""
    spans = sorted({(low, high) for _, low, high in reads})
    ends, reach = [], 0
    for low, high in spans:
        if low >= reach and low % WORD == 0:
            ends.append(low)
        reach = max(reach, high)
    start = before = 0
    for end in (*(e for e in ends if 0 < e < size), size):
        if end - start > most and before > start:
            yield before
            start = before
        before = end
    yield size
