# SPDX-License-Identifier: Apache-2.0
"""Feature maps in a memory level: layers access them part by part, through L2 buffers called
windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from myoedge.operators.kernel import Operand
from myoedge.plan.l1.tile_iteration import Transfer
from myoedge.plan.l1.tile_runs import strips
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.levels.transfers import LevelTransfer
from myoedge.plan.placement import LiveRange
from myoedge.plan.timeline import WORD, Chunk, TimelineSteps, whole_words

SLOTS = 2  # slots of a window: one is transferred while the other is used


@dataclass(frozen=True, slots=True)
class Part:
    """A contiguous range of bytes of an operand, or of each of its strips, and the tiles that
    access it.

    start         offset in bytes
    size_bytes    number of bytes
    first, last   tiles of the layer
    """

    start: int
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Access:
    """The access of a layer to a feature map in a level, through windows in L2.

    step, operand   the layer and its operand
    written         whether the layer writes it
    tensor          the feature map
    offset          byte offset of the operand in the feature map
    parts           parts in tile order; parts that are read may overlap
    strips          number of equal strips of the operand, such as channels of a transposed operand;
                    each strip has its own parts and transfers
    strip_bytes     bytes between strips of the operand
    """

    step: int
    operand: str
    written: bool
    tensor: str
    offset: int
    parts: tuple[Part, ...]
    strips: int
    strip_bytes: int

    @cached_property
    def pitch(self) -> int:
        """Bytes between strips in the L2 window, with the word alignment of strips in the level."""
        least = max(part.size_bytes for part in self.parts) + 3 * WORD
        return least + (self.strip_bytes - least) % WORD

    @cached_property
    def slot_bytes(self) -> int:
        chunks = (chunk for n in range(len(self.parts)) for chunk in self.chunks(n))
        return max(at + whole_words(size) for _, size, at in chunks)

    def lead(self, n: int, strip: int) -> int:
        """Return the offset of part n of a strip from the last word boundary before it in the
        level, in bytes."""
        return (self.offset + strip * self.strip_bytes + self.parts[n].start) % WORD

    def chunks(self, n: int) -> Iterator[tuple[int, int, int]]:
        """Yield (start in the operand, bytes, offset in the window's slot) of each transfer of part
        n."""
        part = self.parts[n]
        for strip in range(self.strips):
            lead = self.lead(n, strip)
            start = strip * self.strip_bytes + part.start - lead
            yield start, lead + part.size_bytes, self.lead(n, 0) + strip * self.pitch - lead

    def placed(self, n: int, x: Transfer) -> Transfer:
        """Return a tile's transfer with its offset in the L2 window instead of the operand.

        n   part of the operand that the tile accesses
        x   the transfer
        """
        strip, at = divmod(x.at, self.strip_bytes)
        across = x.stride % self.strip_bytes == 0
        stride = x.stride // self.strip_bytes * self.pitch if across else x.stride
        at += self.lead(n, 0) + strip * self.pitch - self.parts[n].start
        return replace(x, at=at, stride=stride)

    def window(self, last: int) -> LiveRange:
        """Return the live range, in layers, of the L2 window; rows that are written are transferred
        to the level until the end of the next layer.

        last   index of the last layer
        """
        way = "to" if self.written else "from"  # several operands of a step may read one map
        name = f"{self.tensor} {way} L3, step {self.step}, {self.operand}"
        size = self.slot_bytes * min(SLOTS, len(self.parts))
        return LiveRange(name, size, self.step, min(self.step + self.written, last))

    def part_of(self, tile: int) -> int:
        return next(n for n, part in enumerate(self.parts) if part.first <= tile <= part.last)


def access(
    step: int, tiling: Tiling, operand: Operand, tensor: str, offset: int, most: int
) -> Access | None:
    """Split a layer's accesses to a feature map into parts; return None if its tiling does not
    allow that.

    tensor   the feature map
    offset   byte offset of the operand in it
    most     maximum bytes of a part

    Written parts start at word boundaries, and tiles write all of their bytes.
    """
    count = strips(operand, tiling.choice.order[0]) if tiling.choice.order else 1
    size = math.prod(operand.shape) * operand.itemsize // count
    if not all(
        _bytes_in_strip(x, size)[1] <= size
        for tile in tiling.tiles
        for x in tile.moved(operand.name)
    ):
        return None
    groups = _parts_of_strip(tiling, operand, size, count, most // count)
    parts = tuple(Part(low, high - low, first, last) for low, high, first, last in groups)
    in_parts = Access(step, operand.name, operand.written, tensor, offset, parts, count, size)
    leads = (in_parts.lead(n, strip) for n in range(len(parts)) for strip in range(count))
    return None if operand.written and any(leads) else in_parts


def _bytes_in_strip(x: Transfer, strip_bytes: int) -> tuple[int, int]:
    """Return (first byte, end) of a transfer's bytes, relative to the strip in which it begins; the
    end is outside of it if a row is not within one strip."""
    start = x.at % strip_bytes
    return start, start + (x.line if x.stride % strip_bytes == 0 else x.end - x.at)


def _parts_of_strip(
    tiling: Tiling, operand: Operand, strip_bytes: int, strips: int, most: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first byte, end, first tile, last tile) of each part of a strip."""
    group: tuple[int, int, int] | None = None
    held = last = 0
    for t, tile in enumerate(tiling.tiles):
        moved = tile.moved(operand.name)
        if not moved:
            continue
        starts, ends = zip(*(_bytes_in_strip(x, strip_bytes) for x in moved), strict=True)
        low, high = min(starts), max(ends)
        if group is not None:
            is_whole = held == strips * (group[1] - group[0]) and group[1] % WORD == 0
            is_complete = not operand.written or (is_whole and group[0] <= low)
            grown = max(high, group[1]) - min(low, group[0])
            if is_complete and grown > most:
                yield *group[:2], group[2], t - 1
                group, held = None, 0
        group = group or (low, high, t)
        group = (min(low, group[0]), max(high, group[1]), group[2])
        held += sum(x.bytes for x in moved)
        last = t
    if group is not None:
        yield *group[:2], group[2], max(last, len(tiling.tiles) - 1)


def map_transfers(
    access: Access, tiling: Tiling, timeline_steps: TimelineSteps, start: tuple[str, int], l2: int
) -> list[LevelTransfer]:
    """Return the transfers of all parts of a layer's access to a feature map.

    timeline_steps   numbering of the timeline steps
    start            level of the map, and its start in it in bytes
    l2               offset of the window in the arena, in bytes
    """
    step_numbers = list(_timeline_spans(access, tiling, timeline_steps))
    level, map_at = start
    transfers = []
    for n, (first, last) in enumerate(step_numbers):
        slot = l2 + n % SLOTS * access.slot_bytes
        begins, end = _reserved_steps(access, timeline_steps, step_numbers, n)
        span = (first, end) if access.written else (first, last)
        for first_byte, size, at in access.chunks(n):
            chunk = Chunk(
                access.step, access.operand, first_byte, size, *span, tensor=access.tensor
            )
            to = map_at + access.offset + first_byte
            transfers.append(LevelTransfer(chunk, level, to, slot + at, begins, access.written))
    return transfers


def _timeline_spans(
    access: Access, tiling: Tiling, timeline_steps: TimelineSteps
) -> Iterator[tuple[int, int]]:
    """Yield the first and last timeline step in which transfers between L1 and L2 use a part."""
    enter, count = timeline_steps.enters[access.step], len(tiling.tiles)
    for part in access.parts:
        span = range(part.first, part.last + 1)
        tiles = [t for t in span if tiling.tiles[t].moved(access.operand)]
        first, last = (min(t + 2, count) if access.written else t for t in (tiles[0], tiles[-1]))
        yield enter + first, enter + last


def _reserved_steps(
    access: Access, timeline_steps: TimelineSteps, step_numbers: Sequence[tuple[int, int]], n: int
) -> tuple[int, int]:
    """Return the timeline steps between which a part's slot of the window is reserved: (first step
    of its transfer, last step)."""
    if not access.written:
        begins = (
            step_numbers[n - SLOTS][1] + 1 if n >= SLOTS else timeline_steps.enters[access.step]
        )
        return begins, step_numbers[n][1]
    behind = timeline_steps.enters[min(access.step + 2, len(timeline_steps.enters) - 1)]
    behind -= timeline_steps.earliest(behind) == behind  # before the first step of a loop
    end = step_numbers[n + SLOTS][0] if n + SLOTS < len(step_numbers) else behind
    return step_numbers[n][1] + 1, end - 1


def through_windows(
    tiling: Tiling, accesses: Sequence[Access], windows: Mapping[str, int]
) -> Tiling:
    """Return the tiling of a layer with transfers from and to the L2 windows instead of the
    operands.

    windows   operand -> offset of its window in the arena
    """
    by_name = {a.operand: a for a in accesses}
    if not by_name:
        return tiling

    def placed(t: int, x: Transfer) -> Transfer:
        if x.operand not in by_name:
            return x
        access = by_name[x.operand]
        n = access.part_of(t)
        near = access.placed(n, x)
        return replace(near, at=windows[x.operand] + n % SLOTS * access.slot_bytes + near.at)

    tiles = tuple(
        replace(
            tile,
            loads=tuple(placed(t, x) for x in tile.loads),
            stores=tuple(placed(t, x) for x in tile.stores),
        )
        for t, tile in enumerate(tiling.tiles)
    )
    return replace(tiling, tiles=tiles)
