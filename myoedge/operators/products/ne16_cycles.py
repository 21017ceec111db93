# SPDX-License-Identifier: Apache-2.0
"""Cycle estimates of NE16 jobs, and the division of a tile into jobs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div
from myoedge.operators.products.ne16_constants import INPUTS, OUTPUTS, SIDE, WEIGHT_BITS

SUMS_AT_A_TIME = 8  # stored per cycle
JOBS_A_TILE, JOB_PIXELS = 4, 9  # jobs per tile if cores work on other rows; pixels of a block
JOB = 800  # cycles per job, without its operands
SUMS = 0  # bytes of a multiplier if results are int32 sums


def job_pixels(pixels: Any) -> Any:
    """Return the pixels of each job of a tile except the last: a multiple of the nine pixels of a
    3x3 block.

    pixels   pixels of the tile
    """
    return ceil_div(pixels, JOBS_A_TILE * JOB_PIXELS) * JOB_PIXELS


def units_of_jobs(
    units: int, least: int, count: int, prepared: float, computed: float
) -> tuple[int, int]:
    """Split the `units` of work of a tile into `count` NE16 jobs; return the units of the first job
    and of each middle job (the last takes the rest), as multiples of `least`.

    NE16 waits for the first job's operands, so that job is only as long as the cores need to
    prepare the second.
    prepared, computed   cycles of the cores and of NE16 for all units
    """
    equal = ceil_div(units, count * least) * least
    covering = (prepared * equal + JOB * units) / computed
    first = min(math.ceil(covering / least) * least, equal)
    if count == 1 or first >= units:
        return units, units
    return first, ceil_div(units - first, (count - 1) * least) * least


def pads_to_nine_pixels(pixels: Any, of_layer: int) -> Any:
    """Return whether a tile has exactly eight pixels, which NE16 computes as one 3x3 block of nine
    instead of two blocks.

    pixels     pixels of the tile
    of_layer   pixels of the layer
    """
    return (pixels == of_layer) & (of_layer == JOB_PIXELS - 1)


def pointwise_cycles(pixels: Any, c: int, k: Any, scale: int) -> Any:
    """Return the cycles of 1x1 jobs on a row of pixels, without conflicts of L1 banks.

    c, k    inputs and outputs per pixel
    scale   bytes of a multiplier
    """
    at_a_time = job_pixels(pixels)
    whole, rest = pixels // at_a_time, pixels % at_a_time
    more = (whole > 0) & (rest % JOB_PIXELS == JOB_PIXELS - 1)  # as start_of in me_ne16_layer.c
    tiles = whole * (at_a_time // JOB_PIXELS) + run_tiles(rest + more)
    return image_cycles(tiles, c, k, scale)


def run_tiles(pixels: Any) -> Any:
    """Return the number of 3x3-pixel blocks into which me_ne16_set_run divides a run of pixels."""
    third = ceil_div(pixels, SIDE)
    return ceil_div(third + (pixels - third) % 2, SIDE)


def image_cycles(tiles: Any, c: int, k: Any, scale: int) -> Any:
    """Return the cycles of 1x1 jobs on blocks of 3x3 pixels.

    tiles   number of blocks
    c, k    inputs and outputs per pixel
    scale   bytes of a multiplier
    """
    groups = ceil_div(c, INPUTS)
    return tiles * _by_outputs(k, lambda n: groups * (31 + n) + _results_cycles(n, scale))


def sums_cycles(tiles: Any, groups: Any, k: Any, jobs: Any, added: Any) -> Any:
    """Return the cycles of 1x1 jobs on blocks of 3x3 pixels that store int32 sums.

    tiles    number of blocks
    groups   groups of 16 inputs, over all jobs
    k        outputs per pixel
    jobs     number of jobs
    added    number of jobs that start from the sums of an earlier job
    """

    def cycles(n: Any) -> Any:
        loads = SIDE * SIDE * ceil_div(n, SUMS_AT_A_TIME)
        return groups * (31 + n) + jobs * _results_cycles(n, SUMS) + added * loads

    return tiles * _by_outputs(k, cycles)


def linear_cycles(c: int, k: int, bits: int = WEIGHT_BITS) -> float:
    """Return the cycles of a linear job, which stores int32 sums.

    c   inputs, processed 256 at a time
    k   outputs
    """
    rows, tiles = ceil_div(c, INPUTS), ceil_div(c, INPUTS * INPUTS)
    return float(
        _by_outputs(k, lambda n: rows + tiles * (22 + n * bits) + ceil_div(n, SUMS_AT_A_TIME))
    )


def filter_cycles(
    rows: Any, columns: Any, c: int, k: Any, scale: int, bits: int = WEIGHT_BITS
) -> Any:
    """Return the cycles of 3x3 jobs for rows * columns results.

    c, k    inputs and outputs per pixel
    scale   bytes of a multiplier
    bits    bits of a weight
    """
    groups, (read, tiles) = ceil_div(c, INPUTS), _pixels_and_tiles(rows, columns)
    return _by_outputs(
        k,
        lambda n: groups * (read + tiles * (18 + n * bits)) + tiles * _results_cycles(n, scale),
    )


def depthwise_cycles(rows: Any, columns: Any, c: int, scale: int, bits: int = WEIGHT_BITS) -> Any:
    """Return the cycles of depthwise 3x3 jobs for rows * columns results with c channels.

    scale   bytes of a multiplier
    bits    bits of a weight
    NE16 loads 32 multipliers for each block of 16 channels except the last.
    """
    groups, (read, tiles) = ceil_div(c, INPUTS), _pixels_and_tiles(rows, columns)
    last = c - INPUTS * (groups - 1)
    results = (groups - 1) * _results_cycles(OUTPUTS, scale) + _results_cycles(last, scale)
    return groups * (read + tiles * 28) + tiles * (c * bits + results)


def _pixels_and_tiles(rows: Any, columns: Any) -> tuple[Any, Any]:
    """Return the pixels that 3x3 jobs read for an image of results, and their number of tiles."""
    down, across = ceil_div(rows, SIDE), ceil_div(columns, SIDE)
    return (rows + 2 * down) * (columns + 2 * across), down * across


def _by_outputs(k: Any, cycles: Callable[[Any], Any]) -> Any:
    """Sum the cycles over full blocks of outputs and the last, partial block."""
    whole, rest = k // OUTPUTS, k % OUTPUTS
    return whole * cycles(OUTPUTS) + np.where(rest > 0, cycles(rest), 0)


def _results_cycles(outputs: Any, scale: int) -> Any:
    """Return the cycles to scale and store the channels of a tile of 3 x 3 pixels."""
    if scale == SUMS:
        return SIDE * SIDE * ceil_div(outputs, SUMS_AT_A_TIME) + 5
    return outputs / 4 * (1 if scale == 1 else 2) + 1 + 4 + SIDE * SIDE
