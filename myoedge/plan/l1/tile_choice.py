# SPDX-License-Identifier: Apache-2.0
"""The fastest tiling of a single layer; near-equal candidates are compared transfer by transfer.

Input operands have two or three buffers. Three help if tiles take about as long to compute as to
load: the first tile takes longer, because its code is not cached yet. With two buffers the DMA
would then wait for the cores, and later the cores for the DMA.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from myoedge.operators.kernel import TiledKernel
from myoedge.plan.cost.timing import code_of, modelled
from myoedge.plan.l1.prefetch import first_constants, moved_cycles
from myoedge.plan.l1.tile_grid import Grid, aligned
from myoedge.plan.l1.tile_search import (
    NO_LIMITS,
    Hidden,
    Limits,
    TileChoice,
    TilingProblem,
    choices,
    loaded,
    tile_count,
)
from myoedge.plan.l1.tiling import Tiling, lives, unplaced
from myoedge.targets.costs import TransferCost

HIDDEN_CYCLES = 4096.0  # spare DMA cycles assumed before each layer but the first: 32 KiB
BEFORE = -1  # tile index before the first tile
NEAR_FASTEST = 1.002  # factor on the fewest cycles; within it, the largest tiles save energy
MOST_COMPARED = 64  # up to this many tiles, tilings are compared transfer by transfer
NEAR_RANKED = 1.4  # factor on the fewest estimated cycles, for tilings chosen by rank

DEPTH = 3  # buffers, if two are not enough
MOST_COMMANDS = 9  # DMA commands for later tiles: the queue holds ten, then the core waits
LEAST_MOVED = 0.7  # with loads below this fraction of the compute time, two buffers suffice
MULTI_BUFFERED = 0.98  # required ratio of cycles: more buffers take L1 from other layers

TileRanks = Mapping[str, int]  # layer signature -> rank; 1: second fastest tiling
NO_RANKS: TileRanks = {}


def layer_signature(kernel: TiledKernel) -> str:
    """Return a key that is equal for layers with equal tilings: it covers loops, operands, scratch
    and work, but not multipliers and scales."""
    if "signature" not in kernel.derived:
        ends = (kernel.axes, {**kernel.axes, **dict.fromkeys(kernel.split, 1)})
        work = [(kernel.scratch(sizes), kernel.work(sizes)) for sizes in ends]
        bits = kernel.packing and kernel.packing.bits
        parts = (*code_of(kernel), dict(kernel.axes), kernel.split, kernel.operands)
        kernel.derived["signature"] = repr((*parts, work, bits))
    signature: str = kernel.derived["signature"]
    return signature


@dataclass(frozen=True, eq=False, slots=True)
class TileSearch:
    """Search for the fastest tiling of each layer; equal layers are searched once.

    distinct        signature of each layer; None without tiles
    cost            cost of DMA transfers
    limits          layer -> constraints by L2
    ranks           signature -> rank of the tiling to use, by estimated cycles; 0 (default): the
                    fastest
    chosen, alone   caches of tilings, and of cycles of compared tilings
    grids           grid of tile sizes of each distinct layer
    """

    distinct: Sequence[str | None]
    cost: TransferCost
    limits: Mapping[int, Limits]
    ranks: TileRanks = field(default_factory=dict)
    chosen: dict[Hashable, TileChoice | None] = field(default_factory=dict)
    alone: dict[Hashable, float] = field(default_factory=dict)
    grids: dict[str | None, Grid] = field(default_factory=dict)

    def pick(
        self, index: int, kernel: TiledKernel, room: int, resident: frozenset[str], hidden: Hidden
    ) -> TileChoice | None:
        """Return the fastest tiling of layer `index` that fits, or the one of its rank; None if
        none fits.

        room       bytes of L1
        resident   operands that stay in L1
        hidden     spare DMA cycles and bytes before the layer, for a prefetch
        """
        cycles = max(hidden.cycles, HIDDEN_CYCLES) if index else hidden.cycles
        hidden = replace(hidden, cycles=float(round(cycles)))  # nearly equal: one search
        limits = self.limits.get(index, NO_LIMITS)
        key = (self.distinct[index], hidden, room, resident, limits)
        if key not in self.chosen:
            grid = self.grids.get(self.distinct[index]) or Grid.of(kernel, self.cost)
            self.grids[self.distinct[index]] = grid
            problem = TilingProblem(grid, room, hidden, limits, resident)
            best = self._fastest_tiling(index, problem)
            rank = self.ranks.get(self.distinct[index] or "", 0)
            if best is not None and rank:
                best = next(iter(self._other_tilings(index, problem, best)[rank - 1 :]), best)
            self.chosen[key] = best
        return self.chosen[key]

    def _fastest_tiling(self, index: int, problem: TilingProblem) -> TileChoice | None:
        found = choices(problem)
        few = [choice for choice in found if tile_count(problem.kernel, choice) <= MOST_COMPARED]
        if not few or few[0] is not found[0]:
            return found[0] if found else None
        best = _smallest_of_fastest(problem, self._simulate_tilings(index, problem, few))
        deep = list(_triple_buffered_tilings(problem, few))
        if not deep:
            return best
        deepest = _smallest_of_fastest(problem, self._simulate_tilings(index, problem, deep))
        return deepest if deepest.cycles < MULTI_BUFFERED * best.cycles else best

    def _other_tilings(
        self, index: int, problem: TilingProblem, best: TileChoice
    ) -> list[TileChoice]:
        """Return the tilings of a layer other than the best one, by ascending estimated cycles."""
        kernel, found = problem.kernel, choices(problem, NEAR_RANKED)

        def iteration(choice: TileChoice) -> Hashable:  # equal for the same tiles in the same order
            cut = {axis: size for axis, size in choice.sizes.items() if size < kernel.axes[axis]}
            order = tuple(axis for axis in choice.order if axis in cut)
            return tuple(sorted(cut.items())), order, choice.depth

        few = [choice for choice in found if tile_count(kernel, choice) <= MOST_COMPARED]
        deep = _triple_buffered_tilings(problem, few)
        different = {iteration(choice): choice for choice in reversed([*few, *deep])}
        different.pop(iteration(best), None)
        estimated = self._simulate_tilings(index, problem, different.values())
        return sorted(estimated, key=lambda choice: (choice.cycles, choice.order))

    def _simulate_tilings(
        self, index: int, problem: TilingProblem, few: Iterable[TileChoice]
    ) -> list[TileChoice]:
        """Return tilings with more exact cycles: simulated transfer by transfer, plus the wait for
        constants that earlier layers do not hide."""
        kernel, resident, compared = problem.kernel, problem.resident, []
        for choice in few:
            sizes = tuple(choice.sizes.items())
            key = (self.distinct[index], resident, sizes, choice.order, choice.depth)
            if key not in self.alone:
                tiling = unplaced(kernel, choice, resident, BEFORE)
                self.alone[key] = modelled([tiling], self.cost)[0] or 0.0
            fetched = first_constants(kernel, choice)
            size_bytes = sum(aligned(x.bytes) for x in fetched)
            waiting = problem.hidden.waiting(moved_cycles(fetched, self.cost), size_bytes)
            compared.append(replace(choice, cycles=self.alone[key] + float(waiting)))
        return compared


def _smallest_of_fastest(problem: TilingProblem, compared: Sequence[TileChoice]) -> TileChoice:
    """Among tilings close to the fastest, return the one with the fewest tiles, then the least L1,
    then the fewest loads.

    Each load also costs instructions on the control core, which the estimate omits.
    """
    most = NEAR_FASTEST * min(choice.cycles for choice in compared)
    near = [choice for choice in compared if choice.cycles <= most]
    kernel = problem.kernel

    def tiles_bytes_loads(choice: TileChoice) -> tuple[float, ...]:
        count, loads = tile_count(kernel, choice), loaded(kernel, choice, problem.resident)
        return count, choice.l1_bytes, loads, choice.cycles

    return min(near, key=tiles_bytes_loads)


def _triple_buffered_tilings(
    problem: TilingProblem, few: Iterable[TileChoice]
) -> Iterator[TileChoice]:
    """Yield the tilings with three buffers per operand that may be faster: the DMA limits them, and
    all operands are in L2."""
    kernel, resident, cost = problem.kernel, problem.resident, problem.grid.cost
    room = problem.l1_bytes * (problem.limits == NO_LIMITS)
    for choice in few:
        if tile_count(kernel, choice) <= 2 or choice.l1_bytes > room:
            continue
        tiles = unplaced(kernel, choice, resident).tiles
        computed = len(tiles) * float(kernel.cycles({**kernel.axes, **choice.sizes}))
        if sum(moved_cycles(tile.loads, cost) for tile in tiles) <= LEAST_MOVED * computed:
            continue
        commands = (DEPTH - 1) * max(len(tile.loads) for tile in tiles[1:])
        buffers = lives(0, kernel, replace(choice, depth=DEPTH), 0, None, resident)
        l1_bytes = sum(aligned(life.size_bytes) for _, _, life in buffers)
        if l1_bytes <= room and commands <= MOST_COMMANDS:
            yield replace(choice, depth=DEPTH, l1_bytes=l1_bytes)


def distinct_layers(tilings: Sequence[Tiling | None]) -> list[str | None]:
    """Return each layer's signature, which is equal for layers with equal tiles; None for layers
    without tiles."""
    return [None if tiling is None else layer_signature(tiling.kernel) for tiling in tilings]
