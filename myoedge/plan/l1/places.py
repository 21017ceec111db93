# SPDX-License-Identifier: Apache-2.0
"""Offsets of a layer's buffers in L1, and what earlier layers load for it: constants, and operands
that are ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from myoedge.operators.kernel import TiledKernel
from myoedge.plan.l1.prefetch import (
    MOST_TRANSFERS,
    first_constants,
    first_loads,
    moved_cycles,
    possible_starts,
    take_spare,
)
from myoedge.plan.l1.tile_grid import ALIGNMENT
from myoedge.plan.l1.tile_iteration import Transfer
from myoedge.plan.l1.tile_search import Limits, TileChoice
from myoedge.plan.l1.tiling import lives
from myoedge.plan.loops import LoopTensor
from myoedge.plan.placement import LiveRange, first_gap
from myoedge.targets.costs import TransferCost

NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False, slots=True)
class PlacedLayer:
    """A layer whose buffers have offsets in L1. Tiles are numbered over the whole network.

    kernel, choice   kernel and tiling of the layer
    first            its first tile
    prefetch_tile    tile of an earlier layer in which the prefetch of its first tile's constants
                     starts; None: they are loaded with the other operands
    constants        number of the transfers of these constants
    fetch_cycles     their DMA cycles
    ahead            operands whose first tile is loaded during the last tile of the layer before
    moved_ahead      number of these transfers
    buffers          (operand, slot, live range in tiles, offset in L1)
    resident         operand -> offset in L1, for resident tensors
    """

    kernel: TiledKernel
    choice: TileChoice
    first: int
    prefetch_tile: int | None
    constants: int
    fetch_cycles: float
    ahead: frozenset[str]
    moved_ahead: int
    buffers: Sequence[tuple[str, int, LiveRange, int]]
    resident: Mapping[str, int]

    @property
    def early(self) -> int:
        """Number of the transfers that start during earlier layers."""
        return self.moved_ahead + (0 if self.prefetch_tile is None else self.constants)

    @property
    def leaves_results(self) -> bool:
        """Whether all its results stay in L1."""
        return self.resident.keys() >= {operand.name for operand in self.kernel.results}

    @property
    def waits(self) -> bool:
        """Whether the layer waits for its first tile's constants, because they are fetched only
        after the preceding layer."""
        return self.prefetch_tile is None and self.constants > 0 and self.first > 0


@dataclass(frozen=True, eq=False, slots=True)
class L1State:
    """State of L1 before a layer is placed.

    spare      per tile of the earlier layers, cycles in which the DMA is idle
    recent     the most recently placed layers
    resident   operand of the layer -> offset, for resident tensors
    held       (offset, live range) of all resident tensors
    earliest   tile from which the layer's constants are prefetched; None: not decided yet
    begins     tile before which no data may be prefetched for the layer
    """

    spare: list[float]
    recent: Sequence[PlacedLayer]
    resident: Mapping[str, int]
    held: Sequence[tuple[int, LiveRange]]
    earliest: int | None
    begins: int = 0

    @property
    def taken(self) -> list[tuple[int, LiveRange]]:
        buffers = ((at, life) for layer in self.recent for _, _, life, at in layer.buffers)
        return [*self.held, *buffers]

    def largest_gap(self, l1_bytes: int) -> int:
        """Return the largest number of contiguous bytes of L1 that are free during the last
        tile."""
        last = len(self.spare) - 1
        there = [(at, x.size_bytes) for at, x in self.taken if x.first <= last <= x.last]
        gap = end = 0
        for at, size_bytes in (*sorted(there), (l1_bytes, 0)):
            gap, end = max(gap, at - end), max(end, at + size_bytes)
        return gap


@dataclass(frozen=True, eq=False, slots=True)
class PlacementProblem:
    """A network whose buffers are to be placed in L1.

    kernels    kernels of all layers, in execution order
    l1_bytes   bytes of L1 for operands
    cost       cost of DMA transfers
    limits     layer -> constraints by L2
    borders    layers before which no data may be prefetched for them and later layers
    staying    layer -> L1 offsets of operands that stay for all iterations of its loop
    carried    tensor of a loop that stays to its end -> L1 offset
    ready      layer -> its operands, by number, that are in L2 when the layer before begins
    """

    kernels: Sequence[TiledKernel]
    l1_bytes: int
    cost: TransferCost
    limits: Mapping[int, Limits]
    borders: frozenset[int] = frozenset()
    staying: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    carried: Mapping[LoopTensor, int] = field(default_factory=dict)
    ready: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def ready_operands(self, index: int, kernel: TiledKernel) -> frozenset[str]:
        """Return the operands of layer `index` that are in L2 when the layer before begins."""
        ready = self.ready.get(index, frozenset())
        return frozenset(x.name for x in kernel.operands if x.source in ready)


def placed_layer(
    problem: PlacementProblem,
    index: int,
    kernel: TiledKernel,
    choice: TileChoice,
    state: L1State,
) -> PlacedLayer | None:
    """Place the buffers of layer `index` at the lowest free offsets in L1; return None if they do
    not fit.

    Its constants are prefetched from the best tile for which there is space, operands that are
    ready during the tile before it.
    choice   tiling of the layer
    state    state of L1 before it
    """
    spare, recent, resident = state.spare, state.recent, state.resident
    first = len(spare)
    fetched = first_constants(kernel, choice, resident)
    cycles = moved_cycles(fetched, problem.cost)
    early, taken = state.earliest, state.taken
    possible = possible_starts(spare, cycles) if early is None else range(early, first)
    allowed = (tile for tile in possible if tile >= state.begins)
    starts = (*_prefetch_start_tiles(allowed, fetched, recent), None)
    ready = problem.ready_operands(index, kernel) - {*resident} - choice.in_l2
    moved = first_loads(kernel, choice, ready)
    for prefetch_tile, ahead in product(starts, _loadable_operands(ready, moved, fetched)):
        found = lives(index, kernel, choice, first, prefetch_tile, resident, ahead)
        buffers = buffer_offsets(found, first, taken)
        if max((at + life.size_bytes for _, _, life, at in buffers), default=0) <= problem.l1_bytes:
            if ahead:
                take_spare(spare, first - 1, moved_cycles(moved, problem.cost))
            if prefetch_tile is not None:
                take_spare(spare, prefetch_tile, cycles)
            fetch = prefetch_tile, len(fetched), cycles, ahead, len(moved) * bool(ahead)
            return PlacedLayer(kernel, choice, first, *fetch, buffers, resident)
    return None


def _loadable_operands(
    ready: frozenset[str], moved: Sequence[Transfer], fetched: Sequence[Transfer]
) -> tuple[frozenset[str], ...]:
    """Return the sets of operands that the layer before may load, best first.

    ready     operands that are in L2 when that layer begins
    moved     their transfers
    fetched   the transfers of constants
    """
    is_possible = moved and len(fetched) + len(moved) <= MOST_TRANSFERS
    return (ready, NONE) if is_possible else (NONE,)


def buffer_offsets(
    found: Sequence[tuple[str, int, LiveRange]], first: int, taken: Sequence[tuple[int, LiveRange]]
) -> list[tuple[str, int, LiveRange, int]]:
    """Place buffers in L1 at the lowest offsets that are free during their live ranges.

    found   (operand, slot, live range) of each buffer
    first   first tile of the layer
    taken   (offset, live range) of the buffers already placed
    -> (operand, slot, live range, offset); prefetched buffers are placed first, then the others,
    largest first
    """
    buffers: list[tuple[str, int, LiveRange, int]] = []
    for operand, slot, life in sorted(found, key=lambda x: (x[2].first >= first, -x[2].size_bytes)):
        begin, end = life.first, life.last
        others = [(at, x.size_bytes) for at, x in taken if x.first <= end and begin <= x.last]
        others += [(at, other.size_bytes) for _, _, other, at in buffers]
        at = first_gap(sorted(others), life.size_bytes, ALIGNMENT)
        buffers.append((operand, slot, life, at))
    return buffers


def _prefetch_start_tiles(
    possible: Iterable[int], fetched: Sequence[Transfer], recent: Sequence[PlacedLayer]
) -> Iterator[int]:
    """Yield possible start tiles of a prefetch: after earlier layers' prefetches, and within the
    transfers allowed in flight."""
    early = [(x.prefetch_tile, x) for x in recent if x.prefetch_tile is not None]
    order = max((begin for begin, _ in early), default=0)
    for prefetch_tile in possible if fetched else ():
        under_way = sum(x.early for _, x in early if x.first > prefetch_tile)
        if prefetch_tile >= order and len(fetched) + under_way <= MOST_TRANSFERS:
            yield prefetch_tile
