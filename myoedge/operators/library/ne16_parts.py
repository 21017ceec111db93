# SPDX-License-Identifier: Apache-2.0
"""Parts of a convolution's windows, each of which is an NE16 job that adds to int32 sums."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.operators.kernel import Region, Sizes
from myoedge.operators.library.ne16_jobs import (
    CHANNEL,
    FILTER_MODE,
    INPUTS,
    JOB_PIXELS,
    JOBS_A_TILE,
    OUTPUTS,
    POINTWISE_MODE,
    SIDE,
    SUM,
    SUMS,
    SUMS_AT_A_TIME,
    filter_cycles,
    filter_planes,
    sums_cycles,
)
from myoedge.operators.library.ne16_table import WEIGHT_BYTES

if TYPE_CHECKING:
    from myoedge.operators.conv.geometry import Conv2dGeometry

PART_GROUPS = 16  # maximum groups of 16 input bytes per part: 8 KiB of weights for 32 outputs
JOINED = 1.1  # cycles of eight cores for joining the sums of two halves
PROGRAM = 150  # cycles in which the control core programs a job
CONFLICTS = 4.0  # L1 cycles for storing or loading the sums of eight channels of 3x3 pixels


@dataclass(frozen=True, slots=True)
class WindowParts:
    """Division of a window's inputs into parts, with one NE16 job per part; loop "part" counts
    them.

    run      bytes of contiguous inputs: a row of taps, or one tap if taps are dilated
    rows     number of such runs down a window, and rows of the input between them
    columns  number of such runs across a window, and bytes between them
    groups   groups of 16 bytes per part
    is_filter   whether jobs are 3x3 filters, whose run is the channels of a pixel
    size     bytes of an input
    halves   outputs of the engine per result: 2 if weights are split
    """

    run: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    groups: int
    is_filter: bool = False
    size: int = 1
    halves: int = 1

    @staticmethod
    def of(
        conv: Conv2dGeometry, size: int = 1, halves: int = 1, *, is_filter: bool = False
    ) -> WindowParts:
        """Return the parts of a convolution's windows.

        size, halves, is_filter   as the fields
        """
        pixel = size * conv.x[-1]
        if is_filter:
            most = PART_GROUPS // math.prod(conv.kernel)
            groups = _equal_groups(pixel, most)
            return WindowParts(pixel, (1, 0), (1, 0), groups, True, size, halves)
        across = 1 if conv.dilation[1] == 1 else conv.kernel[1]
        run = conv.kernel[1] // across * pixel
        rows, columns = (conv.kernel[0], conv.dilation[0]), (across, conv.dilation[1] * pixel)
        groups = _equal_groups(run, PART_GROUPS)
        return WindowParts(run, rows, columns, groups, False, size, halves)

    @property
    def runs(self) -> int:
        """Number of runs of contiguous inputs per window."""
        return self.rows[0] * self.columns[0]

    @property
    def of_run(self) -> int:
        return ceil_div(self.run, INPUTS * self.groups)

    @property
    def count(self) -> int:
        return self.runs * self.of_run

    @property
    def at_once(self) -> bool:
        """Whether a job may compute all outputs of a tile with all parts, whose weights are
        contiguous."""
        return self.runs == 1 and self.count * self.groups == ceil_div(self.run, INPUTS)

    @property
    def mode(self) -> int:
        """Mode of the jobs."""
        return FILTER_MODE if self.is_filter else POINTWISE_MODE

    @property
    def plane_bytes(self) -> int:
        """Bytes per bit of the weights of a part, for one output."""
        return WEIGHT_BYTES[self.mode] // self.size * self.groups

    def offset_bytes(self, part: int, row_bytes: int) -> int:
        """Return the offset of a part's inputs from the start of a window.

        row_bytes   bytes of a row of the padded input
        """
        run, in_run = divmod(part, self.of_run)
        row, column = divmod(run, self.columns[0])
        groups = INPUTS * self.groups * in_run
        return row * self.rows[1] * row_bytes + column * self.columns[1] + groups

    def of_runs(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield `count` parts from `first` on as (first part, inputs in bytes) of each run."""
        part, end, each = first, first + count, INPUTS * self.groups
        while part < end:
            in_run = part % self.of_run
            n = min(self.of_run - in_run, end - part)
            yield part, min(self.run - in_run * each, n * each)
            part += n

    def planes(self, weight: Array, bits: int) -> Array:
        """Pack weights int8 [K, *taps, C] into NE16's bit planes, uint8 [K, parts, bytes].

        Zero weights fill the last part of each run of contiguous inputs.
        """
        k, inputs = len(weight), INPUTS // self.size
        taps = math.prod(weight.shape[1:]) // (self.runs * self.run // self.size)
        rows = weight.reshape(k, taps, self.runs, self.run // self.size)
        more = inputs * self.groups * self.of_run - rows.shape[-1]
        filled = np.pad(rows, ((0, 0), (0, 0), (0, 0), (0, more))).reshape(k, taps, -1)
        return filter_planes(filled, bits, inputs).reshape(k, self.count, -1)

    def is_run(self, rows: Any) -> Any:
        """Return whether the results of a tile are a run of pixels, not rows of an image.

        rows   rows of the tile
        """
        return (rows == 1) & (not self.is_filter)

    def cycles(self, sizes: Sizes, bits: int) -> Any:
        """Return the cycles of NE16 for the jobs of a tile.

        bits   bits of a weight
        """
        rows, columns, k, count = (sizes[axis] for axis in ("t0", "t1", "k", "part"))
        outputs, share, runs = self.halves * k, count / self.count, 1 + (count - 1) / self.of_run
        is_whole = self.at_once & (count == self.count)
        blocks = np.where(is_whole, 1, ceil_div(outputs, OUTPUTS))
        tiles, moves = (
            ceil_div(rows, SIDE) * ceil_div(columns, SIDE),
            ceil_div(outputs, SUMS_AT_A_TIME),
        )
        if self.is_filter:
            engine = filter_cycles(rows, columns, self.run, outputs, SUMS, bits)
            moved = 2 * SIDE * SIDE * tiles * moves
            return np.maximum(share * engine + (1 - share) * moved, PROGRAM * blocks)
        tiles = np.where(self.is_run(rows), ceil_div(columns, JOB_PIXELS), tiles)
        groups = count * math.ceil(self.run / INPUTS) / self.of_run
        engine = sums_cycles(tiles, groups, outputs, runs, runs - share)
        engine = engine + CONFLICTS * tiles * (2 * runs - share) * moves
        return np.maximum(engine, PROGRAM * runs * blocks)

    def tile_cycles(self, sizes: Sizes, prepared: Any, computed: Any) -> Any:
        """Return the estimated cycles of a tile: the engine's jobs, and the cores' work before the
        first and after the last part while the engine is idle.

        prepared, computed   cycles of the cores for its operands, and of the engine
        """
        rows, columns, k, count = (sizes[axis] for axis in ("t0", "t1", "k", "part"))
        blocks = np.where(self.is_run(rows), ceil_div(columns, JOB_PIXELS), ceil_div(rows, SIDE))
        jobs = np.minimum(JOBS_A_TILE, blocks)
        each = SUM + JOINED * (self.halves - 1)
        requantised = k * (CHANNEL * jobs + each * rows * columns)
        alone = np.maximum(requantised / jobs, requantised - computed * (jobs - 1) / jobs)
        return computed + count / self.count * (alone + prepared + PROGRAM * jobs)

    def tile_fields(self, rows: int, columns: int, weights: Region) -> dict[str, int | str]:
        """Return the units of a tile and of its jobs: of parts between the first and the last, all
        units are one job.

        rows, columns   results of the tile
        weights         region of its weights
        """
        first, count = weights.start[2], weights.extent[2]
        units, least = (columns, JOB_PIXELS) if self.is_run(rows) else (rows, SIDE)
        jobs = JOBS_A_TILE if first == 0 or first + count == self.count else 1
        each = ceil_div(units, jobs * least) * least
        sizes = {"units": units, "first_units": each, "units_at_a_time": each}
        prepared = {"has_scratch": 1} if first > 0 else {}
        return {**sizes, "first_part": first, "parts": count, **prepared}


def _equal_groups(run: int, most: int) -> int:
    """Return the groups of 16 input bytes per part, for the fewest parts, of equal size.

    run    input bytes of all parts
    most   maximum groups per part
    """
    groups = ceil_div(run, INPUTS)
    return ceil_div(groups, ceil_div(groups, most))
