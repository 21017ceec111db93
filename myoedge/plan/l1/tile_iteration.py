# SPDX-License-Identifier: Apache-2.0
"""A layer cut into tiles: the loop ranges of each tile, and the part of each operand that it
accesses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from myoedge.graph.ir import Shape
from myoedge.operators.kernel import Operand, Region, Span, TiledKernel
from myoedge.plan.l1.tile_search import TileChoice

MOST_KNOWN = 256  # cached cuts; a network has fewer distinct layers times choices

Spans = Mapping[str, Span]
Loop = tuple[str, int, int, bool]  # axis, extent, tile extent, whether the last tile comes first


@dataclass(frozen=True, slots=True)
class OperandTiles:
    """The use of an operand by every tile of a layer.

    operand      the operand
    regions      per tile, the region of the operand
    slot         per tile, the number of the buffer
    loaded       per tile, the tile before which the buffer's content was loaded
    size_bytes   bytes of a buffer
    """

    operand: Operand
    regions: tuple[Region, ...]
    slot: tuple[int, ...]
    loaded: tuple[int, ...]
    size_bytes: int

    def complete(self, t: int) -> bool:
        """Return whether tile t is the last one that accumulates into its region of the result."""
        return t + 1 == len(self.loaded) or self.loaded[t + 1] > t

    def turns(self) -> Iterator[tuple[int, int, int]]:
        """Yield (first tile, last tile, tile before which it is first loaded) for each buffer of
        the operand."""
        count = len(self.slot)
        for slot in range(max(self.slot) + 1):
            first = self.slot.index(slot)
            last = count - 1 - self.slot[::-1].index(slot)
            yield first, last, self.loaded[first]


@dataclass(frozen=True, eq=False, slots=True)
class Cut:
    """A layer cut into tiles, in execution order, without addresses.

    tiles   per tile, axis -> range of indices
    uses    use of each operand
    """

    tiles: tuple[Spans, ...]
    uses: tuple[OperandTiles, ...]


def spans(kernel: TiledKernel, choice: TileChoice) -> tuple[Spans, ...]:
    """Return the loop ranges (axis -> range of indices) of every tile, in execution order."""
    return cut(kernel, choice).tiles


def cut(kernel: TiledKernel, choice: TileChoice) -> Cut:
    """Cut a layer into tiles; equal layers are cut once."""
    loops = tuple(
        (axis, extent, choice.sizes.get(axis, extent), axis in kernel.reversed_axes)
        for axis, extent in kernel.axes.items()
    )
    return _cut_tiles(kernel.operands, loops, choice.order, choice.depth)


@lru_cache(MOST_KNOWN)
def _cut_tiles(
    operands: tuple[Operand, ...], loops: tuple[Loop, ...], order: tuple[str, ...], depth: int
) -> Cut:
    uncut = {axis: (0, extent) for axis, extent, _, _ in loops}
    parts = {loop[0]: _tile_ranges(*loop[1:]) for loop in loops if loop[0] in order}
    tiles = tuple(
        {**uncut, **dict(zip(order, combination, strict=True))}
        for combination in itertools.product(*(parts[axis] for axis in order))
    )
    uses = (_operand_tiles(operand, tiles, 2 if operand.written else depth) for operand in operands)
    return Cut(tiles, tuple(uses))


def _tile_ranges(extent: int, size: int, backwards: bool) -> list[Span]:
    parts = [(start, min(size, extent - start)) for start in range(0, extent, size)]
    return parts[::-1] if backwards else parts


def _operand_tiles(operand: Operand, tiles: tuple[Spans, ...], buffers: int) -> OperandTiles:
    slot: list[int] = []
    loaded: list[int] = []
    # Equal regions are the same object if none of the operand's loops advances.
    axes, known = sorted(operand.axes), dict[tuple[Span, ...], Region]()
    regions: list[Region] = []
    for t, tile in enumerate(tiles):
        spans_of = tuple(tile[axis] for axis in axes)
        if spans_of not in known:
            known[spans_of] = operand.region(tile)
        region = known[spans_of]
        regions.append(region)
        if t == 0:
            slot.append(0)
            loaded.append(0)
        elif region == regions[t - 1]:
            slot.append(slot[-1])
            loaded.append(loaded[-1])
        else:
            slot.append((slot[-1] + 1) % buffers)
            loaded.append(t)
    size = max(region.size for region in known.values())
    return OperandTiles(
        operand, tuple(regions), tuple(slot), tuple(loaded), size * operand.itemsize
    )


@dataclass(frozen=True, slots=True)
class Transfer:
    """One DMA command: rows of bytes, contiguous in L1, strided in the other memory.

    operand   name of the operand
    at        offset in bytes in the operand, outside L1
    l1        offset in bytes in L1
    bytes     total bytes
    line      bytes per row
    stride    bytes between the starts of rows outside L1; 0 for one row
    stays     whether the bytes stay in L2, of a constant that is partly streamed
    """

    operand: str
    at: int
    l1: int
    bytes: int
    line: int
    stride: int
    stays: bool = False

    @property
    def end(self) -> int:
        """Offset in the operand of the first byte after the transfer."""
        return self.at + (self.bytes // self.line - 1) * self.stride + self.line


def transfers(operand: Operand, region: Region, l1: int) -> Iterator[Transfer]:
    """Yield the DMA commands, as few as possible, for a region of an operand.

    l1   offset of its buffer in L1
    """
    for more, at, size, line, stride in _dma_commands(operand.shape, operand.itemsize, region):
        yield Transfer(operand.name, at, l1 + more, size, line, stride)


@lru_cache(maxsize=1 << 14)  # plans are tried that differ only in addresses
def _dma_commands(shape: Shape, itemsize: int, region: Region) -> tuple[tuple[int, ...], ...]:
    """Return, per DMA command: (offset in the L1 buffer, offset in the operand, total bytes, bytes
    of a row, stride)."""
    if region.size == 0:
        return ()
    run, loops = _contiguous_runs(shape, itemsize, region.extent)
    strides = _byte_strides(shape, itemsize)
    start = sum(s * stride for s, stride in zip(region.start, strides, strict=True))
    found: list[tuple[int, ...]] = []
    *outer, (count, stride) = loops or ((1, 0),)
    for index in itertools.product(*(range(n) for n, _ in outer)):
        at = start + sum(i * s for i, (_, s) in zip(index, outer, strict=True))
        found.append((len(found) * run * count, at, run * count, run, stride if count > 1 else 0))
    return tuple(found)


def start_bytes(operand: Operand, region: Region) -> int:
    """Return the byte offset of a region's first element in the operand."""
    strides = _byte_strides(operand.shape, operand.itemsize)
    return sum(s * stride for s, stride in zip(region.start, strides, strict=True))


@lru_cache
def _byte_strides(shape: Shape, itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(shape[d + 1 :]) for d in range(len(shape)))


@lru_cache
def _contiguous_runs(
    shape: Shape, itemsize: int, part: Shape
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the bytes of a contiguous run of a region, and the (count, stride) of the loops over
    its runs, outermost first."""
    run = itemsize
    loops: list[tuple[int, int]] = []
    for extent, stride in zip(
        reversed(part), reversed(_byte_strides(shape, itemsize)), strict=True
    ):
        if extent == 1:
            continue
        if not loops and stride == run:
            run *= extent
        elif loops and stride == loops[0][0] * loops[0][1]:
            loops[0] = (loops[0][0] * extent, loops[0][1])
        else:
            loops.insert(0, (extent, stride))
    return run, tuple(loops)
