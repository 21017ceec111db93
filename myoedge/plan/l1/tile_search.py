# SPDX-License-Identifier: Apache-2.0
"""Search over all distinct tile sizes and loop orders of a layer, by estimated cycles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.kernel import SCRATCH, Operand, TiledKernel, reach
from myoedge.plan.l1.tile_grid import Grid, aligned, cut_axes
from myoedge.targets.costs import TransferCost

MOST_STRIPS = 64  # strips of an operand in L3, each of which takes a transfer
NEAR, MOST_CHOICES = 1.08, 4  # factor on the fewest cycles; choices per loop order


@dataclass(frozen=True, slots=True)
class TileChoice:
    """Tile sizes and loop order of a layer, with the estimated cycles.

    sizes      tiled axis -> size
    order      tiled axes, outermost first
    cycles     estimated cycles of the layer
    l1_bytes   bytes of buffers and scratch
    depth      buffers per read operand that changes between tiles; loads run depth - 1 tiles ahead
    in_l2      operands, and SCRATCH, that the kernel accesses in L2, without buffers in L1
    """

    sizes: Mapping[str, int]
    order: tuple[str, ...]
    cycles: float
    l1_bytes: int
    depth: int = 2
    in_l2: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """Constraints on the tiles of a layer whose operands do not all fit L2.

    held_bytes   maximum bytes of one constant in L2 at a time; None: no limit
    in_l3        operands in L3, transferred in blocks of rows
    part_bytes   maximum bytes of such a block
    """

    held_bytes: int | None = None
    in_l3: frozenset[str] = frozenset()
    part_bytes: int = 0


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Hidden:
    """Resources before a layer for a prefetch of its constants.

    cycles       idle DMA cycles
    size_bytes   free bytes of L1
    """

    cycles: float
    size_bytes: float = math.inf

    def waiting(self, cycles: Any, size_bytes: Any) -> Any:
        """Return the cycles that the layer waits for a prefetch.

        cycles       DMA cycles of the prefetch
        size_bytes   its bytes
        """
        hidden = np.where(size_bytes <= self.size_bytes, self.cycles, 0.0)
        return np.maximum(cycles - hidden, 0.0)


NOTHING_HIDDEN = Hidden(0.0)


def choose(
    kernel: TiledKernel, l1_bytes: int, cost: TransferCost, limits: Limits = NO_LIMITS
) -> TileChoice | None:
    """Return the fastest tiling whose buffers fit in `l1_bytes`; None if there is none.

    limits   constraints by L2
    """
    key = ("chosen", l1_bytes, cost, limits)
    if key not in kernel.derived:
        problem = TilingProblem(Grid.of(kernel, cost), l1_bytes, limits=limits)
        kernel.derived[key] = next(iter(choices(problem)), None)
    chosen: TileChoice | None = kernel.derived[key]
    return chosen


def choices(problem: TilingProblem, near: float = NEAR) -> list[TileChoice]:
    """Return the fastest tiling for each number of tiles, if it is within a factor `near` of the
    fastest of all.

    near   maximum ratio to the fewest estimated cycles
    """
    orders = list(_loop_orders(problem.kernel))
    found: list[TileChoice] = []
    for most_strips in (1, MOST_STRIPS) if problem.limits.in_l3 else (1,):
        found = found or [
            choice
            for order in orders
            for choice in _fastest_tile_sizes(problem, order, most_strips, near)
        ]
    found.sort(key=lambda c: (c.cycles, c.l1_bytes))
    return [c for c in found if c.cycles <= near * found[0].cycles]


def _loop_orders(kernel: TiledKernel) -> Iterator[tuple[str, ...]]:
    cut = cut_axes(kernel)
    for order in itertools.permutations(axis for axis in cut if axis not in kernel.innermost_axes):
        yield (*order, *(axis for axis in cut if axis in kernel.innermost_axes))


@dataclass(frozen=True, eq=False, slots=True)
class TilingProblem:
    """A layer to be tiled, and the memory available.

    grid       combinations of tile sizes
    l1_bytes   bytes of L1 for buffers and scratch
    hidden     idle DMA cycles and free bytes before the layer, for a prefetch of constants
    limits     constraints by L2
    resident   operands in L1 as a whole, outside `l1_bytes`; their tiles are contiguous, or read by
               steps
    in_l2      whether `resident`, and SCRATCH, are in L2 instead
    """

    grid: Grid
    l1_bytes: int
    hidden: Hidden = NOTHING_HIDDEN
    limits: Limits = NO_LIMITS
    resident: frozenset[str] = frozenset()
    in_l2: bool = False

    @property
    def kernel(self) -> TiledKernel:
        return self.grid.kernel


def loads(operand: Operand, order: Sequence[str], counts: Mapping[str, Array], n: int) -> Array:
    """Return how often the tile of an operand changes, including the first load, int64 [n].

    order    tiled axes, outermost first
    counts   axis -> number of tiles, per combination
    n        number of combinations of tile sizes
    """
    prefix, found = np.ones(n, np.int64), np.ones(n, np.int64)
    for axis in order:
        prefix = prefix * counts[axis]
        if axis in operand.axes:
            found = np.where(counts[axis] > 1, prefix, found)
    return found


def _fastest_tile_sizes(
    problem: TilingProblem, order: tuple[str, ...], most_strips: int, near: float
) -> Iterator[TileChoice]:
    """Yield the fastest tile sizes for each number of tiles, for one loop order."""
    grid, n = problem.grid, len(problem.grid.tiles)
    moved = tuple(o for o in grid.kernel.operands if o.name not in problem.resident)
    times = {o.name: loads(o, order, grid.counts, n) for o in moved}
    l1_bytes = np.zeros(n, np.int64) if SCRATCH in problem.resident else grid.scratch_bytes
    for o in moved:
        l1_bytes = l1_bytes + grid.operand_bytes[o.name] * np.where(times[o.name] > 1, 2, 1)
    fits = (l1_bytes <= problem.l1_bytes) & _feasible_sizes(problem, order, times, most_strips)
    if not fits.any():
        return
    if SCRATCH in problem.resident:  # scratch in L2: at most as large as in L1, or the smallest
        fits &= grid.scratch_bytes <= max(problem.l1_bytes, grid.scratch_bytes[fits].min())
    cycles = np.where(fits, _estimate_cycles(grid, times, problem.hidden), np.inf)
    # Among equals, the largest tiles, and so the fewest.
    ranked = np.lexsort((grid.tiles, np.round(cycles)))
    ranked = ranked[cycles[ranked] <= near * cycles[ranked[0]]]
    for first in np.sort(np.unique(grid.tiles[ranked], return_index=True)[1])[:MOST_CHOICES]:
        at = int(ranked[first])
        sizes = {axis: int(values[at]) for axis, values in grid.sizes.items()}
        yield TileChoice(sizes, order, float(cycles[at]), int(l1_bytes[at]))


def _feasible_sizes(
    problem: TilingProblem, order: Sequence[str], times: Mapping[str, Array], most_strips: int
) -> Array:
    """Return, per combination of tile sizes, whether number of tiles and L2 allow it."""
    grid, limits = problem.grid, problem.limits
    possible = grid.tiles <= grid.kernel.most_tiles
    for o in grid.kernel.operands:
        if limits.held_bytes is not None and o.constant and o.name in times:
            possible &= _constant_fits(grid, o, order, limits.held_bytes)
        if o.name in limits.in_l3:
            possible &= _accesses_map_in_rows(grid, o, order, limits, most_strips)
        if o.name in problem.resident:
            in_runs = in_one_run(o, grid) | in_positions(o, grid)
            possible &= in_runs | o.has_steps | (problem.in_l2 and in_rows(o, grid))
    return possible


def _constant_fits(grid: Grid, operand: Operand, order: Sequence[str], held: int) -> Array:
    """Return, per combination of tile sizes, if a constant needs at most `held` bytes of L2: what
    a tile reads, and all that is read again by the tiles of an inner loop.

    order   tiled axes, outermost first
    """
    sizes, is_read_again = {**grid.all_sizes}, np.zeros(len(grid.tiles), bool)
    for axis in order:
        if axis in operand.axes:
            sizes[axis] = np.where(is_read_again, grid.kernel.axes[axis], sizes[axis])
        else:
            is_read_again = is_read_again | (grid.counts[axis] > 1)
    return np.asarray(operand.span_bytes(sizes) <= held)


def _accesses_map_in_rows(
    grid: Grid, operand: Operand, order: Sequence[str], limits: Limits, most_strips: int
) -> Array:
    """Return, per combination of tile sizes, whether tiles access an L3 feature map in consecutive
    blocks of rows of at most limits.part_bytes."""
    axis = order[0] if order else ""
    if axis not in operand.axes or strips(operand, axis) > most_strips:
        return np.zeros(len(grid.tiles), bool)
    part = operand.footprint({**grid.kernel.axes, axis: grid.sizes[axis]})
    return np.asarray(part <= limits.part_bytes)


def strips(operand: Operand, axis: str) -> int:
    """Return the number of strips of an operand: contiguous byte ranges, each with all positions
    along `axis`."""
    d = next((d for d, dim in enumerate(operand.dims) if axis in dict(dim)), 0)
    return math.prod(operand.shape[:d])


def in_one_run(operand: Operand, grid: Grid) -> Array:
    """Return, per combination of tile sizes, whether every tile is one contiguous run of the
    operand's bytes."""
    n = len(grid.tiles)
    uncut = [_spans_dimension(operand, d, grid) for d in range(len(operand.dims))]
    one = [
        np.ones(n, bool) * (extent == 1 or (bool(dim) and reach(dim, grid.all_sizes) == 0))
        for extent, dim in zip(operand.shape, operand.dims, strict=True)
    ]
    found = np.zeros(n, bool)
    for d in range(len(operand.dims)):
        found |= np.all([*one[:d], *uncut[d + 1 :], np.ones(n, bool)], axis=0)
    return found


def in_positions(operand: Operand, grid: Grid) -> Array:
    """Return, per combination of tile sizes, whether tiles are contiguous positions with part of
    the channels; False if the kernel supports no stride between positions."""
    if not operand.position_stride:
        return np.zeros(len(grid.tiles), bool)
    return in_one_run(replace(operand, shape=operand.shape[:-1], dims=operand.dims[:-1]), grid)


def in_rows(operand: Operand, grid: Grid) -> Array:
    """Return, per combination of tile sizes, whether tiles are contiguous rows of an image; False
    if the kernel supports no stride between rows."""
    found = np.full(len(grid.tiles), bool(operand.row_stride) and operand.shape[0] == 1)
    for d in range(3, len(operand.dims)):
        found &= _spans_dimension(operand, d, grid)
    return found


def _spans_dimension(operand: Operand, d: int, grid: Grid) -> Array:
    """Return, per combination of tile sizes, whether every tile spans the whole dimension `d`."""
    everything = {axis: (0, extent) for axis, extent in grid.kernel.axes.items()}
    found = np.full(len(grid.tiles), operand.region(everything).extent[d] == operand.shape[d])
    for axis, _ in operand.dims[d]:
        found &= grid.counts.get(axis, np.ones(1)) == 1
    return found


def _estimate_cycles(grid: Grid, times: Mapping[str, Array], hidden: Hidden) -> Array:
    """Return the estimated cycles per combination of tile sizes: pipeline fill, per tile the longer
    of computation and transfers, drain."""
    kernel, tiles, move = grid.kernel, grid.tiles, grid.transfer_cycles
    computed = grid.compute_cycles + grid.delay_cycles(times)
    compute = computed / tiles + grid.cost.barrier_cycles
    reads = [o for o in kernel.operands if not o.written and o.name in times]
    often = sum((np.where(times[o.name] >= tiles, move[o.name], 0.0) for o in reads), 0.0 * tiles)
    seldom = [np.where(times[o.name] < tiles, times[o.name], 0) for o in reads]
    rare = np.maximum.reduce([*seldom, np.ones_like(tiles)])
    extra = sum(
        (np.where(s > 1, move[o.name] * s / rare, 0.0) for o, s in zip(reads, seldom, strict=True)),
        0.0 * tiles,
    )
    out = sum((move[o.name] for o in kernel.results if o.name in times), np.zeros(1))
    plain = np.maximum(compute, np.maximum(often, out))
    loaded = np.maximum(compute, np.maximum(often + extra, out))
    steps = np.maximum(tiles - rare, 0) * plain + rare * loaded  # the last step loads nothing
    return np.asarray(_fill_cycles(grid, reads, hidden) + steps + out)


def _fill_cycles(grid: Grid, reads: Sequence[Operand], hidden: Hidden) -> Array:
    """Return the cycles of the first tile's transfers that earlier layers do not hide."""
    tiles, move = grid.tiles, grid.transfer_cycles
    first = sum((move[o.name] for o in reads if not o.constant), 0.0 * tiles)
    constants = [o.name for o in reads if o.constant]
    constant = sum((move[name] for name in constants), 0.0 * tiles)
    size_bytes = sum((grid.operand_bytes[name] for name in constants), 0 * tiles)
    return np.asarray(first + hidden.waiting(constant, size_bytes))


def smallest(kernel: TiledKernel) -> tuple[dict[str, int], dict[str, int]]:
    """Return the smallest tile of a layer: its size along every axis that may be tiled (1), and the
    bytes per double-buffered operand."""
    cut = cut_axes(kernel)
    sizes = {**kernel.axes, **dict.fromkeys(cut, 1)}
    parts = {
        o.name: int(aligned(np.asarray(o.footprint(sizes)))) * (2 if o.axes & {*cut} else 1)
        for o in kernel.operands
    }
    scratch = int(aligned(np.asarray(kernel.scratch(sizes))))
    return sizes, {**parts, **({SCRATCH: scratch} if scratch else {})}


def tile_count(kernel: TiledKernel, choice: TileChoice) -> int:
    return math.prod(-(-kernel.axes[a] // s) for a, s in choice.sizes.items())


def loaded(kernel: TiledKernel, choice: TileChoice, resident: Container[str] = ()) -> int:
    """Return the number of tile loads of all operands.

    resident   operands that stay in L1 and are not loaded
    """
    counts = {a: np.array([-(-kernel.axes[a] // size)]) for a, size in choice.sizes.items()}
    reads = (o for o in kernel.operands if not o.written and o.name not in resident)
    return sum(int(loads(o, choice.order, counts, 1)[0]) for o in reads)
