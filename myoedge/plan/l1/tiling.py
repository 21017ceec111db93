# SPDX-License-Identifier: Apache-2.0
"""A tiled layer: its buffers in L1, and every transfer into and out of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from myoedge.operators.kernel import SCRATCH, Operand, Region, Source, TiledKernel
from myoedge.plan.l1.tile_grid import readable
from myoedge.plan.l1.tile_iteration import (
    MOST_KNOWN,
    Cut,
    OperandTiles,
    Transfer,
    cut,
    start_bytes,
    transfers,
)
from myoedge.plan.l1.tile_search import TileChoice
from myoedge.plan.placement import LiveRange

ARGUMENTS = "arguments"  # a buffer for the arguments of a kernel call


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: the regions of operands that it accesses, their L1 offsets, and its transfers.

    regions   operand -> region
    l1        operand -> offset in L1, or in the operand itself if that stays in L2
    loads     transfers before it, for operands that differ from the previous tile's
    stores    transfers after it
    """

    regions: Mapping[str, Region]
    l1: Mapping[str, int]
    loads: tuple[Transfer, ...]
    stores: tuple[Transfer, ...]

    def moved(self, operand: str) -> list[Transfer]:
        """Return the transfers of an operand, loads and stores."""
        return [x for x in (*self.loads, *self.stores) if x.operand == operand]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer in L1.

    operand       name of the operand, or what else the buffer is for
    slot          number among the buffers of the operand
    offset        offset in bytes in L1
    first, last   tiles of the network during which it is reserved
    """

    operand: str
    slot: int
    size_bytes: int
    offset: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Tiling:
    """A tiled layer. Tiles are numbered over the whole network.

    kernel          kernel that computes it
    choice          tile sizes and loop order
    first           its first tile
    prefetch_tile   tile of an earlier layer in which the prefetch of its first tile's constants
                    starts; None: they are loaded with the other operands
    ahead           operands whose first tile is loaded during the last tile of the layer before
    buffers         buffers in L1
    tiles           tiles in execution order
    resident        operand -> L1 offset, for tensors kept from earlier or for later layers
    back_to_back    whether nothing is loaded or stored between the previous layer and the first
                    tile
    """

    kernel: TiledKernel
    choice: TileChoice
    first: int
    prefetch_tile: int | None
    buffers: tuple[Buffer, ...]
    tiles: tuple[Tile, ...]
    resident: Mapping[str, int] = field(default_factory=dict)
    back_to_back: bool = False
    ahead: frozenset[str] = frozenset()

    @property
    def arguments_once(self) -> bool:
        """Whether the arguments of the kernel call are written before the layer's loop, not in
        every iteration."""
        return any(buffer.operand == ARGUMENTS for buffer in self.buffers)

    @property
    def l1_bytes(self) -> int:
        """Bytes of all buffers of the layer."""
        return sum(b.size_bytes for b in self.buffers)

    @property
    def l2_scratch_bytes(self) -> int:
        """Bytes of the kernel's scratch in L2; 0 if it is in L1."""
        sizes = {**self.kernel.axes, **self.choice.sizes}
        return int(self.kernel.scratch(sizes)) if SCRATCH in self.choice.in_l2 else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the first tile's result."""
        return self.tiles[0].regions[self.kernel.out.name].extent

    def accesses_in_l2(self, sources: Iterable[Source]) -> bool:
        """Return whether it is one tile, whose kernel accesses these tensors, all in L2."""
        tensors = [operand for operand in self.kernel.operands if not operand.constant]
        in_l2 = {operand.name for operand in tensors} <= self.choice.in_l2
        is_complete = {operand.source for operand in tensors} == {*sources}
        return in_l2 and is_complete and len(self.tiles) == 1

    def loads_in(self, tile: int) -> int:
        """Return the layer's timeline step in which a tile's loads start; 0 is before the first
        tile."""
        return max(tile - self.choice.depth + 2, int(self.back_to_back and tile > 0))

    @property
    def passes(self) -> int:
        """Number of passes over tiles that load the same constants, a part in each tile: iterations
        of the outermost loop; 1 if there are none."""
        axes, sizes = self.kernel.axes, self.choice.sizes
        outermost = next((x for x in self.choice.order if sizes[x] < axes[x]), None)
        if outermost is None:
            return 1
        count = -(-axes[outermost] // sizes[outermost])
        constants = {o.name for o in self.kernel.operands if o.constant}
        is_shared = all(outermost not in self.kernel.operand(name).axes for name in constants)
        again = self.tiles[len(self.tiles) // count].loads
        return count if is_shared and any(x.operand in constants for x in again) else 1

    @property
    def kernel_waits(self) -> bool:
        """Whether the kernel itself waits for the operands of the first tile."""
        waits = self.kernel.kernel_waits and self.kernel.packing is None
        return waits and not self.back_to_back

    @property
    def unpacked_offset(self) -> int:
        """Offset in scratch, in bytes, of the unpacked weights."""
        packing, sizes = self.kernel.packing, {**self.kernel.axes, **self.choice.sizes}
        return 0 if packing is None else int(packing.offset(sizes))

    def early(self, transfer: Transfer) -> bool:
        """Return whether a transfer of the first tile starts during an earlier layer."""
        return self.begun_ahead(0, transfer) is not None

    def begun_ahead(self, t: int, transfer: Transfer) -> int | None:
        """Return the tile of an earlier layer in which a transfer of tile t starts, or None."""
        if t > 0:
            return None
        operand = self.kernel.operand(transfer.operand)
        return _first_load_tile(operand, self.prefetch_tile, self.first, self.ahead)

    @property
    def loads_ahead(self) -> dict[int, list[Transfer]]:
        """Tile of an earlier layer -> loads of the first tile that start during it."""
        found: dict[int, list[Transfer]] = {}
        for x in self.tiles[0].loads:
            if (tile := self.begun_ahead(0, x)) is not None:
                found.setdefault(tile, []).append(x)
        return found


def lives(
    index: int,
    kernel: TiledKernel,
    choice: TileChoice,
    first: int,
    prefetch_tile: int | None,
    resident: Container[str] = (),
    ahead: Container[str] = (),
) -> list[tuple[str, int, LiveRange]]:
    """Return (operand, slot, live range in tiles of the network) for every L1 buffer of a layer.

    choice          tiling of the layer
    first           first tile
    prefetch_tile, ahead   as in Tiling
    resident        operands without buffers, as they stay in L1
    """
    made = cut(kernel, choice)
    found, count = [], len(made.tiles)
    for use in made.uses:
        if use.operand.name in resident or use.operand.name in choice.in_l2:
            continue
        begins = _first_load_tile(use.operand, prefetch_tile, first, ahead)
        for slot, (_, last, loaded) in enumerate(use.turns()):
            start = max(loaded - (choice.depth - 1) * (not use.operand.written), 0)
            stop = min(last + use.operand.written, count - 1)
            start = start if begins is None or loaded > 0 else begins - first
            name = f"{index} {use.operand.name} {slot}"
            life = LiveRange(name, readable(use.size_bytes), first + start, first + stop)
            found.append((use.operand.name, slot, life))
    scratch = int(kernel.scratch({**kernel.axes, **choice.sizes}))
    if scratch and SCRATCH not in choice.in_l2:
        last, size = first + count - 1, readable(scratch)
        found.append((SCRATCH, 0, LiveRange(f"{index} scratch", size, first, last)))
    return found


def _first_load_tile(
    operand: Operand, prefetch_tile: int | None, first: int, ahead: Container[str]
) -> int | None:
    """Return the tile of an earlier layer in which the load of an operand's first tile starts;
    None: it starts in the layer."""
    if operand.name in ahead:
        return first - 1
    return prefetch_tile if operand.constant else None


def make_tiling(
    kernel: TiledKernel,
    choice: TileChoice,
    first: int,
    prefetch_tile: int | None,
    placed: Sequence[tuple[str, int, LiveRange, int]],
    resident: Mapping[str, int],
    ahead: frozenset[str] = frozenset(),
) -> Tiling:
    """Build the tiling of a layer from buffers with offsets.

    choice     tile sizes and loop order
    first, prefetch_tile, ahead   as in Tiling
    placed     (operand, slot, live range, L1 offset) of each buffer
    resident   operand -> L1 offset
    """
    offsets = {(operand, slot): offset for operand, slot, _, offset in placed}
    buffers = tuple(
        Buffer(operand, slot, life.size_bytes, offset, life.first, life.last)
        for operand, slot, life, offset in placed
    )
    places = {**resident, **dict.fromkeys(choice.in_l2, 0)}
    tiles = _tiles(cut(kernel, choice), frozenset(offsets.items()), frozenset(places.items()))
    return Tiling(kernel, choice, first, prefetch_tile, buffers, tiles, resident, ahead=ahead)


def unplaced(
    kernel: TiledKernel,
    choice: TileChoice,
    resident: Container[str],
    prefetch_tile: int | None = None,
) -> Tiling:
    """Build the tiling of a single layer before its buffers are placed: all are at offset 0, and it
    has no scratch.

    choice   tile sizes and loop order
    resident, prefetch_tile   as for `lives`
    """
    there = {o.name: 0 for o in kernel.operands if o.name in resident}
    buffers = tuple(
        Buffer(operand, slot, life.size_bytes, 0, life.first, life.last)
        for operand, slot, life in lives(0, kernel, choice, 0, prefetch_tile, resident)
    )
    tiles = unplaced_tiles(cut(kernel, choice), frozenset(there) | choice.in_l2)
    return Tiling(kernel, choice, 0, prefetch_tile, buffers, tiles, there)


def unplaced_tiles(made: Cut, in_place: frozenset[str]) -> tuple[Tile, ...]:
    """Return the tiles of a layer with all L1 buffers at offset 0.

    made       the layer cut into tiles
    in_place   operands that are used in L2, at their own offsets
    """
    offsets = {((use.operand.name, slot), 0) for use in made.uses for slot in use.slot}
    return _tiles(made, frozenset(offsets), frozenset((name, 0) for name in in_place))


@lru_cache(MOST_KNOWN)
def _tiles(
    made: Cut, offsets: frozenset[tuple[tuple[str, int], int]], places: frozenset[tuple[str, int]]
) -> tuple[Tile, ...]:
    """Return the tiles of a layer; plans with other limits often have the same.

    made      the layer cut into tiles
    offsets   ((operand, slot), L1 offset) of each buffer
    places    (operand, offset) of those without a buffer
    """
    at, there = dict(offsets), dict(places)
    return tuple(_tile_transfers(t, made.uses, at, there) for t in range(len(made.tiles)))


def _region_in_l1(operand: Operand, region: Region) -> Region:
    """Return a region of a tensor in L1 as the kernel accesses it, by steps or as one run."""
    return replace(region, within=operand.shape) if operand.has_steps else region


def _tile_transfers(
    t: int,
    known: Sequence[OperandTiles],
    offsets: Mapping[tuple[str, int], int],
    resident: Mapping[str, int],
) -> Tile:
    regions = {use.operand.name: use.regions[t] for use in known}
    at: dict[str, int] = {}
    loads: list[Transfer] = []
    stores: list[Transfer] = []
    for use in known:
        name = use.operand.name
        if name in resident:
            at[name] = resident[name] + start_bytes(use.operand, use.regions[t])
            regions[name] = _region_in_l1(use.operand, regions[name])
            continue
        at[name] = offsets[name, use.slot[t]]
        moved = transfers(use.operand, regions[name], at[name])
        if use.operand.written:
            stores += moved if use.complete(t) else ()
        elif use.loaded[t] == t:
            loads += moved
    if SCRATCH in resident or (SCRATCH, 0) in offsets:
        at[SCRATCH] = resident[SCRATCH] if SCRATCH in resident else offsets[SCRATCH, 0]
    return Tile(regions, at, tuple(loads), tuple(stores))
