# SPDX-License-Identifier: Apache-2.0
"""Jobs of NE16: their constants (weights in bit planes, biases, multipliers and shifts), their
estimated cycles, and the division of a tile into jobs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.library.packing import row_sums

INPUTS, OUTPUTS, SIDE = 16, 32, 3  # of a tile: input and output channels, rows and columns
FILTER_MODE, DEPTHWISE_MODE, POINTWISE_MODE = 0, 1 << 5, 2 << 5  # of a job, as in me_ne16.h
IN_RUN, X_WIDE = 1, 16  # flags of me_ne16_jobs.h
WEIGHT_BITS = 8
WEIGHT_OFFSET = 1 << (WEIGHT_BITS - 1)  # weights are stored as unsigned numbers


def weight_halves(weight: Array) -> tuple[Array, int]:
    """Split weights [K, ...] of more than 8 bits, at most HALVES_MAX large: weight = high *
    2**bits + low.

    -> (int8 [K, 2, ...], high and low; bits of each, with its sign)
    """
    largest = int(np.abs(weight.astype(np.int64)).max(initial=0))
    bits = next(
        n for n in range(2, WEIGHT_BITS + 1) if (((1 << (n - 1)) - 1) * ((1 << n) + 1)) >= largest
    )
    offset = 1 << (bits - 1)
    low = ((weight.astype(np.int32) + offset) & ((1 << bits) - 1)) - offset
    return np.stack([(weight - low) >> bits, low], axis=1).astype(np.int8), bits


def bit_planes(weight: Array, bits: int = WEIGHT_BITS, inputs: int = INPUTS) -> Array:
    """Pack int8 weights [K, C] for 1x1 jobs: uint8 [K, C' / 16 * 2 * bits], C' = C padded to 16.

    For every 16 inputs and every bit, lowest first: two bytes; bit c % 8 of byte c // 8 belongs to
    input c.
    bits     stored bits of a weight
    inputs   inputs that the engine reads at a time: 16 of 8 bits, or 8 of 16 bits
    """
    return filter_planes(weight[:, None], bits, inputs)


def filter_planes(weight: Array, bits: int = WEIGHT_BITS, inputs: int = INPUTS) -> Array:
    """Pack int8 weights [K, *taps, C] for 3x3 jobs: uint8 [K, bytes].

    For every 16 inputs, every bit and every tap: two bytes as in `bit_planes`.
    """
    k, c = len(weight), weight.shape[-1]
    offset = 1 << (bits - 1)
    stored = (weight.astype(np.int16) + offset).astype(np.uint8).reshape(k, -1, c)
    padded = np.pad(stored, ((0, 0), (0, 0), (0, -c % inputs)))
    words = _transposed_bits(np.ascontiguousarray(padded).view("<u8")).view(
        np.uint8
    )  # 8 inputs, then their 8 bits
    halves = words.reshape(k, stored.shape[1], -1, inputs // 8, 8)[..., :bits]
    return np.ascontiguousarray(halves.transpose(0, 2, 4, 1, 3)).reshape(k, -1)


def linear_planes(weight: Array, bits: int = WEIGHT_BITS) -> Array:
    """Pack int8 weights [K, C] for linear jobs: uint8 [K, C' / 8 * bits], C' = C padded with weight
    0.

    For every bit, lowest first: bit c % 8 of byte c // 8 belongs to input c.
    """
    padded = np.pad(weight.astype(np.int16), ((0, 0), (0, -weight.shape[1] % INPUTS)))
    stored = (padded + (1 << (bits - 1))).astype(np.uint8)
    planes = stored[:, None] >> np.arange(bits, dtype=np.uint8)[:, None] & 1
    return np.packbits(planes, axis=-1, bitorder="little").reshape(len(weight), -1)


def _transposed_bits(words: Array) -> Array:
    """Transpose 8 x 8 bits in each uint64: bit i of byte j becomes bit j of byte i. Warren,
    Hacker's Delight, 7-3."""
    for distance, bits in (
        (7, 0x00AA00AA00AA00AA),
        (14, 0x0000CCCC0000CCCC),
        (28, 0x00000000F0F0F0F0),
    ):
        moved = (words ^ words >> np.uint64(distance)) & np.uint64(bits)
        words = words ^ moved ^ moved << np.uint64(distance)
    return words


def depthwise_planes(weight: Array, bits: int = WEIGHT_BITS) -> Array:
    """Pack int8 weights [C, 3, 3] for depthwise jobs: uint8 [C' / 16, bytes], C' = C padded to 16,
    as `filter_planes` with one bit per channel."""
    c = len(weight)
    taps = np.pad(weight.reshape(c, -1), ((0, -c % INPUTS), (0, 0)))
    return filter_planes(taps.reshape(-1, INPUTS, taps.shape[1]).swapaxes(1, 2), bits)


def scale_bytes(step: QuantizedNode) -> int:
    """Return the bytes of a requantisation multiplier: the fewest that hold the multipliers of all
    channels."""
    return 1 if int(step.integers.mult.max()) < 256 else 2


def parameters(step: QuantizedNode, times: int = 1) -> Array:
    """Pack NE16's channel constants: the biases of all channels (4 bytes each), then their
    multipliers, then their shifts (1 byte each).

    times   how often the values of all channels are repeated within each of the three

    The bias accounts for NE16 reading inputs plus 128.
    """
    mult = step.integers.mult.astype(np.int64)
    sums = step.integers.bias.astype(np.int64) - WEIGHT_OFFSET * row_sums(step.integers.weight)
    biases = (sums * mult + step.integers.offset).astype("<i4")
    scales = mult.astype(f"<u{scale_bytes(step)}")
    parts = (biases, scales, step.integers.shift.astype(np.uint8))
    return np.concatenate([np.tile(part, times).view(np.uint8) for part in parts])


SUMS_AT_A_TIME = 8  # stored per cycle
JOBS_A_TILE, JOB_PIXELS = 4, 9  # jobs per tile if cores work on other rows; pixels of a block
JOB = 800  # cycles per job, without its operands
SLOWED = 0.45  # extra cycles of the engine per cycle in which cores write operands
CHANNEL, SUM = 4.3, 1.2  # cycles of eight cores to requantise: per channel of a job, per sum
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


def cycles_by_jobs(prepared: Any, computed: Any) -> list[Any]:
    """Return the cycles of a tile split into 1, 2, ... jobs."""
    return [cycles_of_jobs(n, prepared, computed) for n in range(1, JOBS_A_TILE + 1)]


def cycles_of_jobs(n: int, prepared: Any, computed: Any) -> Any:
    """Return the cycles of a tile split into n jobs: the engine starts after the first job's
    operands are prepared, and may wait for later ones.

    prepared, computed   cycles of the cores and of the engine for the tile
    """
    first, others = prepared / n, (n - 1) * (prepared / n + JOB)
    return first + np.maximum(computed + SLOWED * others, others + computed / n)


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
    more = (whole > 0) & (rest % JOB_PIXELS == JOB_PIXELS - 1)  # as JobForm
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
    return tiles * _sum_over_output_blocks(k, lambda n: groups * (31 + n) + _store_cycles(n, scale))


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
        return groups * (31 + n) + jobs * _store_cycles(n, SUMS) + added * loads

    return tiles * _sum_over_output_blocks(k, cycles)


def linear_cycles(c: int, k: int, bits: int = WEIGHT_BITS) -> float:
    """Return the cycles of a linear job, which stores int32 sums.

    c   inputs, processed 256 at a time
    k   outputs
    """
    rows, tiles = ceil_div(c, INPUTS), ceil_div(c, INPUTS * INPUTS)
    return float(
        _sum_over_output_blocks(
            k, lambda n: rows + tiles * (22 + n * bits) + ceil_div(n, SUMS_AT_A_TIME)
        )
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
    return _sum_over_output_blocks(
        k, lambda n: groups * (read + tiles * (18 + n * bits)) + tiles * _store_cycles(n, scale)
    )


def depthwise_cycles(rows: Any, columns: Any, c: int, scale: int, bits: int = WEIGHT_BITS) -> Any:
    """Return the cycles of depthwise 3x3 jobs for rows * columns results with c channels.

    scale   bytes of a multiplier
    bits    bits of a weight
    NE16 loads 32 multipliers for each block of 16 channels except the last.
    """
    groups, (read, tiles) = ceil_div(c, INPUTS), _pixels_and_tiles(rows, columns)
    last = c - INPUTS * (groups - 1)
    results = (groups - 1) * _store_cycles(OUTPUTS, scale) + _store_cycles(last, scale)
    return groups * (read + tiles * 28) + tiles * (c * bits + results)


def _pixels_and_tiles(rows: Any, columns: Any) -> tuple[Any, Any]:
    """Return the pixels that 3x3 jobs read for an image of results, and their number of tiles."""
    down, across = ceil_div(rows, SIDE), ceil_div(columns, SIDE)
    return (rows + 2 * down) * (columns + 2 * across), down * across


def _sum_over_output_blocks(k: Any, cycles: Callable[[Any], Any]) -> Any:
    """Sum the cycles over full blocks of outputs and the last, partial block."""
    whole, rest = k // OUTPUTS, k % OUTPUTS
    return whole * cycles(OUTPUTS) + np.where(rest > 0, cycles(rest), 0)


def _store_cycles(outputs: Any, scale: int) -> Any:
    """Return the cycles to scale and store the channels of a tile of 3 x 3 pixels."""
    if scale == SUMS:
        return SIDE * SIDE * ceil_div(outputs, SUMS_AT_A_TIME) + 5
    return outputs / 4 * (1 if scale == 1 else 2) + 1 + 4 + SIDE * SIDE
