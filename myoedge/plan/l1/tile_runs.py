# SPDX-License-Identifier: Apache-2.0
"""Whether tiles of an operand are contiguous: one run of its bytes, positions, rows, blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.kernel import Operand, reach
from myoedge.plan.l1.tile_grid import Grid


def accesses_map_in_rows(
    grid: Grid, operand: Operand, order: Sequence[str], part_bytes: int, most_strips: int
) -> Array:
    """Return, per combination of tile sizes, whether tiles access an L3 feature map in consecutive
    blocks of rows of at most `part_bytes`."""
    axis = order[0] if order else ""
    if axis not in operand.axes or strips(operand, axis) > most_strips:
        return np.zeros(len(grid.tiles), bool)
    part = operand.footprint({**grid.kernel.axes, axis: grid.sizes[axis]})
    return np.asarray(part <= part_bytes)


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
