# SPDX-License-Identifier: Apache-2.0
"""A layer in tiles: which buffers it has in L1, and every transfer into and out of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myoedge.plan.place import Life
from myoedge.plan.tile import Choice
from myoedge.tiled import Operand, Region, Span, Tiled

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One command of the DMA: bytes in lines, one behind the other in L1, apart outside.

    at      bytes from the start of the operand, outside
    l1      bytes from the start of the planned part of L1
    stride  bytes between the starts of lines outside; 0 where there is one line
    """

    operand: str
    at: int
    l1: int
    bytes: int
    line: int
    stride: int


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its regions, where they lie in L1, and what has to be moved for it.

    loads   transfers before it, of operands that the tile before did not have
    stores  transfers behind it
    """

    regions: Mapping[str, Region]
    l1: Mapping[str, int]
    loads: tuple[Transfer, ...]
    stores: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes of L1 that belong to an operand from one tile to another, counted over the network."""

    operand: str
    slot: int
    size_bytes: int
    offset: int
    first: int
    last: int


@dataclass(frozen=True)
class Tiling:
    """A layer in tiles.

    first    number of its first tile among all of the network
    ahead    constants of its first tile are fetched during the tile before that
    buffers  of L1
    """

    tiled: Tiled
    choice: Choice
    first: int
    ahead: bool
    buffers: tuple[Buffer, ...]
    tiles: tuple[Tile, ...]

    @property
    def l1_bytes(self) -> int:
        """What the layer holds at once."""
        return sum(b.size_bytes for b in self.buffers)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first tile's results."""
        return self.tiles[0].regions[self.tiled.out.name].extent

    def early(self, transfer: Transfer) -> bool:
        """Whether a transfer of the first tile can be started before the layer is."""
        return self.ahead and _operand(self.tiled, transfer.operand).constant


def _operand(tiled: Tiled, name: str) -> Operand:
    return next(o for o in tiled.operands if o.name == name)


Spans = Mapping[str, Span]


def spans(tiled: Tiled, choice: Choice) -> list[Spans]:
    """The loops of every tile, in the order in which tiles are computed."""
    whole = {axis: (0, extent) for axis, extent in tiled.axes.items()}
    parts = [_parts(tiled, axis, choice.sizes[axis]) for axis in choice.order]
    return [
        {**whole, **dict(zip(choice.order, combination, strict=True))}
        for combination in itertools.product(*parts)
    ]


def _parts(tiled: Tiled, axis: str, size: int) -> list[Span]:
    parts = list(_cut(tiled.axes[axis], size))
    return parts[::-1] if axis in tiled.backwards else parts


def _cut(extent: int, size: int) -> Iterator[Span]:
    for start in range(0, extent, size):
        yield start, min(size, extent - start)


@dataclass(frozen=True, slots=True)
class Use:
    """The buffers of an operand: which of them each tile uses, and when that was loaded."""

    operand: Operand
    slot: tuple[int, ...]
    loaded: tuple[int, ...]
    size_bytes: int

    def complete(self, t: int) -> bool:
        """Whether the tile behind t goes on with another part of it."""
        return t + 1 == len(self.loaded) or self.loaded[t + 1] > t

    @property
    def slots(self) -> int:
        return max(self.slot) + 1


def uses(tiled: Tiled, every: Sequence[Spans]) -> list[Use]:
    return [_use(operand, every) for operand in tiled.operands]


def _use(operand: Operand, every: Sequence[Spans]) -> Use:
    slot: list[int] = []
    loaded: list[int] = []
    size, before = 0, None
    for t, tile in enumerate(every):
        region = operand.region(tile)
        size = max(size, region.size * operand.item)
        if region != before:
            slot.append((slot[-1] + 1) % 2 if slot else 0)
            loaded.append(t)
        else:
            slot.append(slot[-1])
            loaded.append(loaded[-1])
        before = region
    return Use(operand, tuple(slot), tuple(loaded), size)


def lives(
    index: int, tiled: Tiled, choice: Choice, every: Sequence[Spans], first: int, ahead: bool
) -> list[tuple[str, int, Life]]:
    """(operand, slot, live range in tiles of the network) of every buffer of a layer."""
    found = []
    for use in uses(tiled, every):
        for slot in range(use.slots):
            tiles = [t for t, s in enumerate(use.slot) if s == slot]
            start = min(use.loaded[t] for t in tiles) - (0 if use.operand.written else 1)
            stop = min(max(tiles) + (1 if use.operand.written else 0), len(every) - 1)
            early = ahead and use.operand.constant
            start = max(start, -1 if early else 0)
            name = f"{index} {use.operand.name} {slot}"
            life = Life(name, max(use.size_bytes, 1), first + start, first + stop)
            found.append((use.operand.name, slot, life))
    scratch = int(tiled.scratch({**tiled.axes, **choice.sizes}))
    if scratch:
        last = first + len(every) - 1
        found.append((SCRATCH, 0, Life(f"{index} scratch", scratch, first, last)))
    return found


def make_tiling(
    tiled: Tiled,
    choice: Choice,
    every: Sequence[Spans],
    first: int,
    ahead: bool,
    placed: Sequence[tuple[str, int, Life, int]],
) -> Tiling:
    """With an offset for every buffer."""
    offsets = {(operand, slot): offset for operand, slot, _, offset in placed}
    buffers = tuple(
        Buffer(operand, slot, life.size_bytes, offset, life.first, life.last)
        for operand, slot, life, offset in placed
    )
    known = uses(tiled, every)
    tiles = tuple(_tile(t, spans_, known, offsets) for t, spans_ in enumerate(every))
    return Tiling(tiled, choice, first, ahead, buffers, tiles)


def _tile(
    t: int, tile: Spans, known: Sequence[Use], offsets: Mapping[tuple[str, int], int]
) -> Tile:
    regions = {use.operand.name: use.operand.region(tile) for use in known}
    at = {use.operand.name: offsets[use.operand.name, use.slot[t]] for use in known}
    at |= {SCRATCH: offsets[SCRATCH, 0]} if (SCRATCH, 0) in offsets else {}
    loads: list[Transfer] = []
    stores: list[Transfer] = []
    for use in known:
        name = use.operand.name
        moved = transfers(use.operand, regions[name], at[name])
        if use.operand.written:
            stores += moved if use.complete(t) else ()
        elif use.loaded[t] == t:
            loads += moved
    return Tile(regions, at, tuple(loads), tuple(stores))


def transfers(operand: Operand, region: Region, l1: int) -> Iterator[Transfer]:
    """The region as runs of bytes, as many of them in one command as can be."""
    if region.size == 0:
        return
    run, loops = _runs(operand, region)
    start = sum(s * stride for s, stride in zip(region.start, _strides(operand), strict=True))
    *outer, (count, stride) = loops or [(1, 0)]
    for index in itertools.product(*(range(n) for n, _ in outer)):
        at = start + sum(i * s for i, (_, s) in zip(index, outer, strict=True))
        yield Transfer(operand.name, at, l1, run * count, run, stride if count > 1 else 0)
        l1 += run * count


def _strides(operand: Operand) -> list[int]:
    shape = operand.shape
    return [operand.item * math.prod(shape[d + 1 :]) for d in range(len(shape))]


def _runs(operand: Operand, region: Region) -> tuple[int, list[tuple[int, int]]]:
    """(bytes of a run, (count, stride) of the loops over runs, outermost first)."""
    run = operand.item
    loops: list[tuple[int, int]] = []
    for extent, stride in zip(reversed(region.extent), reversed(_strides(operand)), strict=True):
        if extent == 1:
            continue
        if not loops and stride == run:
            run *= extent
        elif loops and stride == loops[0][0] * loops[0][1]:
            loops[0] = (loops[0][0] * extent, loops[0][1])
        else:
            loops.insert(0, (extent, stride))
    return run, loops


def describe(tiling: Tiling) -> dict[str, Any]:
    """For plan.json: tiles, buffers, and the transfers of the first tile and of all."""
    moved = [x for tile in tiling.tiles for x in (*tile.loads, *tile.stores)]
    return {
        "kernel": tiling.tiled.kernel,
        "count": len(tiling.tiles),
        "shape": list(tiling.shape),
        "order": list(tiling.choice.order),
        "sizes": dict(tiling.choice.sizes),
        "fetched_ahead": tiling.ahead,
        "transfers": len(moved),
        "transfer_bytes": sum(x.bytes for x in moved),
        "l1_bytes": tiling.l1_bytes,
        "buffers": [
            {
                "operand": b.operand,
                "offset": b.offset,
                "size_bytes": b.size_bytes,
                "first_tile": b.first,
                "last_tile": b.last,
            }
            for b in tiling.buffers
        ],
    }
