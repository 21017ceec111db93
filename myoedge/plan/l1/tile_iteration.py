# SPDX-License-Identifier: Apache-2.0
"""A layer cut into tiles: the loop ranges of each tile, and the part of each operand that it
accesses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

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
    return _cut(kernel.operands, loops, choice.order, choice.depth)


@lru_cache(MOST_KNOWN)
def _cut(
    operands: tuple[Operand, ...], loops: tuple[Loop, ...], order: tuple[str, ...], depth: int
) -> Cut:
    uncut = {axis: (0, extent) for axis, extent, _, _ in loops}
    parts = {loop[0]: _parts(*loop[1:]) for loop in loops if loop[0] in order}
    tiles = tuple(
        {**uncut, **dict(zip(order, combination, strict=True))}
        for combination in itertools.product(*(parts[axis] for axis in order))
    )
    uses = (_use(operand, tiles, 2 if operand.written else depth) for operand in operands)
    return Cut(tiles, tuple(uses))


def _parts(extent: int, size: int, backwards: bool) -> list[Span]:
    parts = [(start, min(size, extent - start)) for start in range(0, extent, size)]
    return parts[::-1] if backwards else parts


def _use(operand: Operand, tiles: tuple[Spans, ...], buffers: int) -> OperandTiles:
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
