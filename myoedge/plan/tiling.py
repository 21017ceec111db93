# SPDX-License-Identifier: Apache-2.0
"""A layer in tiles: which buffers it has in L1, and every transfer into and out of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    since    tile of the network during which the fetch of its first tile's constants starts, one of
             a layer before it; None: they are fetched with all else
    buffers  of L1
    kept     where operands lie in L1 that are there as a whole: of layers before, or for later ones
    joined   nothing has to be loaded or stored between the layer before and the first tile
    """

    tiled: Tiled
    choice: Choice
    first: int
    since: int | None
    buffers: tuple[Buffer, ...]
    tiles: tuple[Tile, ...]
    kept: Mapping[str, int] = field(default_factory=dict)
    joined: bool = False

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
        return self.since is not None and _operand(self.tiled, transfer.operand).constant


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
    index: int,
    tiled: Tiled,
    choice: Choice,
    every: Sequence[Spans],
    first: int,
    since: int | None,
    kept: Container[str] = (),
) -> list[tuple[str, int, Life]]:
    """(operand, slot, live range in tiles of the network) of every buffer that a layer moves."""
    found = []
    for use in uses(tiled, every):
        if use.operand.name in kept:
            continue
        for slot in range(use.slots):
            tiles = [t for t, s in enumerate(use.slot) if s == slot]
            start = min(use.loaded[t] for t in tiles) - (0 if use.operand.written else 1)
            stop = min(max(tiles) + (1 if use.operand.written else 0), len(every) - 1)
            early = since is not None and use.operand.constant and use.loaded[tiles[0]] == 0
            start = since - first if early and since is not None else max(start, 0)
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
    since: int | None,
    placed: Sequence[tuple[str, int, Life, int]],
    kept: Mapping[str, int],
) -> Tiling:
    """With an offset for every buffer; `kept` gives those of operands that are in L1 as a whole."""
    offsets = {(operand, slot): offset for operand, slot, _, offset in placed}
    buffers = tuple(
        Buffer(operand, slot, life.size_bytes, offset, life.first, life.last)
        for operand, slot, life, offset in placed
    )
    known = uses(tiled, every)
    tiles = tuple(_tile(t, spans_, known, offsets, kept) for t, spans_ in enumerate(every))
    return Tiling(tiled, choice, first, since, buffers, tiles, kept)


def _tile(
    t: int,
    tile: Spans,
    known: Sequence[Use],
    offsets: Mapping[tuple[str, int], int],
    kept: Mapping[str, int],
) -> Tile:
    regions = {use.operand.name: use.operand.region(tile) for use in known}
    at = {use.operand.name: _lies(use, t, regions, offsets, kept) for use in known}
    at |= {SCRATCH: offsets[SCRATCH, 0]} if (SCRATCH, 0) in offsets else {}
    loads: list[Transfer] = []
    stores: list[Transfer] = []
    for use in known:
        name = use.operand.name
        if name in kept:
            continue
        moved = transfers(use.operand, regions[name], at[name])
        if use.operand.written:
            stores += moved if use.complete(t) else ()
        elif use.loaded[t] == t:
            loads += moved
    return Tile(regions, at, tuple(loads), tuple(stores))


def _lies(
    use: Use,
    t: int,
    regions: Mapping[str, Region],
    offsets: Mapping[tuple[str, int], int],
    kept: Mapping[str, int],
) -> int:
    """Where in L1 a tile has its part of an operand."""
    name = use.operand.name
    if name in kept:
        return kept[name] + start_bytes(use.operand, regions[name])
    return offsets[name, use.slot[t]]


def transfers(operand: Operand, region: Region, l1: int) -> Iterator[Transfer]:
    """The region as runs of bytes, as many of them in one command as can be."""
    if region.size == 0:
        return
    run, loops = _runs(operand, region)
    start = start_bytes(operand, region)
    *outer, (count, stride) = loops or [(1, 0)]
    for index in itertools.product(*(range(n) for n, _ in outer)):
        at = start + sum(i * s for i, (_, s) in zip(index, outer, strict=True))
        yield Transfer(operand.name, at, l1, run * count, run, stride if count > 1 else 0)
        l1 += run * count


def start_bytes(operand: Operand, region: Region) -> int:
    """From the start of an operand to that of a region."""
    return sum(s * stride for s, stride in zip(region.start, _strides(operand), strict=True))


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
        "first_tile": tiling.first,
        "fetched_since_tile": tiling.since,
        "kept_in_l1": dict(tiling.kept),
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
