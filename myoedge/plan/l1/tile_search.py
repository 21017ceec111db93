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
from myoedge.operators.kernel import SCRATCH, Operand, Sizes, TiledKernel
from myoedge.plan.l1.tile_grid import Grid, aligned, cut_axes
from myoedge.plan.l1.tile_runs import accesses_map_in_rows, in_one_run, in_positions, in_rows
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
    is_tight     whether each iteration of the outermost loop may bring its constants to L2 again,
                 and tiles that hold more may be the smallest possible
    """

    held_bytes: int | None = None
    in_l3: frozenset[str] = frozenset()
    part_bytes: int = 0
    is_tight: bool = False


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
        sized = [_feasible_sizes(problem, order, most_strips) for order in orders]
        found = found or [
            choice
            for of_order in _with_few_held(problem, sized)
            for choice in _fastest_tile_sizes(problem, of_order, near)
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


@dataclass(frozen=True, eq=False, slots=True)
class OrderedSizes:
    """The combinations of tile sizes of a layer with one loop order.

    order      tiled axes, outermost first
    times      moved operand -> changes of its tile, per combination
    l1_bytes   bytes of buffers and scratch, per combination
    held_bytes   bytes of L2 that a constant needs at once; 0 without a limit on them
    fits       whether the combination is possible
    """

    order: tuple[str, ...]
    times: Mapping[str, Array]
    l1_bytes: Array
    held_bytes: Array
    fits: Array


def _feasible_sizes(
    problem: TilingProblem, order: tuple[str, ...], most_strips: int
) -> OrderedSizes:
    """Return the combinations of tile sizes for one loop order; those fit of which L1, the number
    of tiles and feature maps in L3 allow it."""
    grid, limits, n = problem.grid, problem.limits, len(problem.grid.tiles)
    moved = tuple(o for o in grid.kernel.operands if o.name not in problem.resident)
    times = {o.name: loads(o, order, grid.counts, n) for o in moved}
    l1_bytes = np.zeros(n, np.int64) if SCRATCH in problem.resident else grid.scratch_bytes
    for o in moved:
        l1_bytes = l1_bytes + grid.operand_bytes[o.name] * np.where(times[o.name] > 1, 2, 1)
    fits = (l1_bytes <= problem.l1_bytes) & (grid.tiles <= grid.kernel.most_tiles)
    for o in grid.kernel.operands:
        if o.name in limits.in_l3:
            fits &= accesses_map_in_rows(grid, o, order, limits.part_bytes, most_strips)
        if o.name in problem.resident:
            in_runs = in_one_run(o, grid) | in_positions(o, grid)
            fits &= in_runs | o.has_steps | (problem.in_l2 and in_rows(o, grid))
    held = _held_bytes(grid.kernel, order, grid.all_sizes, limits, problem.resident)
    return OrderedSizes(order, times, l1_bytes, held + np.zeros(n, np.int64), fits)


def _with_few_held(problem: TilingProblem, sized: Sequence[OrderedSizes]) -> Sequence[OrderedSizes]:
    """Return the combinations of which no constant needs too many bytes of L2 at once; if there are
    none, bytes decide and no operand stays in L1, those that need the fewest."""
    most = problem.limits.held_bytes
    if most is None:
        return sized
    if problem.limits.is_tight and not problem.resident:
        least = (int(x.held_bytes[x.fits].min()) for x in sized if x.fits.any())
        most = max(most, min(least, default=0))
    return [replace(x, fits=x.fits & (x.held_bytes <= most)) for x in sized]


def _held_bytes(
    kernel: TiledKernel,
    order: Sequence[str],
    sizes: Sizes,
    limits: Limits,
    resident: Container[str] = (),
) -> Any:
    """Return the bytes of L2 that a layer's constant needs at once, of the one that needs the most:
    what a tile reads, and all that is read again by the tiles of an inner loop, but of passes; 0
    without a limit on them.

    order      tiled axes, outermost first
    sizes      axis -> size of tiles, or one for each combination
    resident   operands that stay in L1
    """
    most: Any = 0
    limited = kernel.operands if limits.held_bytes is not None else ()
    for operand in (o for o in limited if o.constant and o.name not in resident):
        held, is_read_again, in_pass = {**sizes}, np.asarray(False), np.asarray(limits.is_tight)
        for axis in order:
            is_cut = np.asarray(sizes[axis]) < kernel.axes[axis]
            if axis in operand.axes:
                held[axis] = np.where(is_read_again, kernel.axes[axis], sizes[axis])
            else:
                is_read_again = is_read_again | (is_cut & ~in_pass)
            in_pass = in_pass & ~is_cut
        most = np.maximum(most, operand.span_bytes(held))
    return most


def bytes_over_limit(kernel: TiledKernel, choice: TileChoice, limits: Limits) -> int:
    """Return the bytes by which a constant exceeds the limit on those in L2 at once."""
    if limits.held_bytes is None:
        return 0
    sizes = {**kernel.axes, **choice.sizes}
    return max(int(_held_bytes(kernel, choice.order, sizes, limits)) - limits.held_bytes, 0)


def _fastest_tile_sizes(
    problem: TilingProblem, sized: OrderedSizes, near: float
) -> Iterator[TileChoice]:
    """Yield the fastest tile sizes for each number of tiles, for one loop order."""
    grid, fits = problem.grid, sized.fits
    if not fits.any():
        return
    if SCRATCH in problem.resident:  # scratch in L2: at most as large as in L1, or the smallest
        least = grid.scratch_bytes[fits].min()
        fits = fits & (grid.scratch_bytes <= max(problem.l1_bytes, least))
    cycles = np.where(fits, _estimate_cycles(grid, sized.times, problem.hidden), np.inf)
    # Among equals, the largest tiles, and so the fewest.
    ranked = np.lexsort((grid.tiles, np.round(cycles)))
    ranked = ranked[cycles[ranked] <= near * cycles[ranked[0]]]
    for first in np.sort(np.unique(grid.tiles[ranked], return_index=True)[1])[:MOST_CHOICES]:
        at = int(ranked[first])
        sizes = {axis: int(values[at]) for axis, values in grid.sizes.items()}
        yield TileChoice(sizes, sized.order, float(cycles[at]), int(sized.l1_bytes[at]))


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
    changes = np.where(tiles > 1, np.maximum(kernel.cost.change_cycles - compute, 0.0), 0.0)
    return np.asarray(_fill_cycles(grid, reads, hidden) + steps + out + changes)


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
