# SPDX-License-Identifier: Apache-2.0
"""Schedules of NE16 jobs that make int32 sums of a convolution, and their estimated cycles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.kernel import Sizes
from myoedge.operators.library.ne16 import CHANNEL, SUM
from myoedge.operators.library.ne16_jobs import (
    INPUTS,
    JOB,
    JOBS_A_TILE,
    OUTPUTS,
    SIDE,
    SUMS,
    SUMS_AT_A_TIME,
    filter_cycles,
    filter_planes,
    run_tiles,
    sums_cycles,
)

PART_GROUPS = 16  # maximum groups of 16 input bytes per part: 8 KiB of weights for 32 outputs
PADDED_BYTE = 0.14  # cycles of seven cores per byte of the padded input
PROGRAM = 2700  # cycles in which the control core programs the job of a run, while the engine waits
JOINED = 1.1  # cycles of eight cores for joining the sums of two halves
CONFLICTS = 4.0  # L1 cycles for storing or loading the sums of eight channels of 3x3 pixels
SUM_BYTES = 4
GROUP = 1000.0  # extra cycles per group, which is a separate tile


@dataclass(frozen=True, slots=True)
class WindowParts:
    """Division of a window's inputs into parts, with one NE16 job per part; loop "part" counts
    them.

    run      bytes of contiguous inputs: a row of taps, or one tap if taps are dilated
    runs     number of such runs per window
    groups   groups of 16 bytes per part
    is_filter   whether jobs are 3x3 filters, whose run is the channels of a pixel
    size     bytes of an input
    """

    run: int
    runs: int
    groups: int
    is_filter: bool = False
    size: int = 1

    @staticmethod
    def of(conv: Conv2dGeometry, size: int = 1, *, is_filter: bool = False) -> WindowParts:
        """Return the parts of a convolution's windows.

        size     bytes of an input
        is_filter   whether jobs are 3x3 filters
        """
        pixel = size * conv.x[-1]
        if is_filter:
            most = PART_GROUPS // math.prod(conv.kernel)
            return WindowParts(pixel, 1, min(ceil_div(pixel, INPUTS), most), True, size)
        across = 1 if conv.dilation[1] == 1 else conv.kernel[1]
        run, runs = conv.kernel[1] // across * pixel, conv.kernel[0] * across
        return WindowParts(run, runs, min(ceil_div(run, INPUTS), PART_GROUPS), False, size)

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


@dataclass(frozen=True, slots=True)
class SumsSchedule:
    """A schedule of NE16 jobs that make int32 sums, with its cycle estimate.

    conv            geometry of the layer
    parts           division of a window's inputs
    halves          outputs of the engine per result: 2 if weights are split
    bits            bits of a weight, or of a half
    keeps_scratch   whether tiles of the same positions are consecutive, so that the input is
                    prepared once; if not, each weight is loaded from L3 once
    """

    conv: Conv2dGeometry
    parts: WindowParts
    halves: int
    bits: int
    keeps_scratch: bool

    def image_bytes(self, sizes: Sizes) -> Any:
        rows, columns = self.conv.reach(sizes)
        return round_up(rows * columns * self.parts.size * self.conv.x[-1], 4) + 4

    def in_rows(self, rows: Any) -> Any:
        """Whether the results of a tile are rows of an image; otherwise one row is cut into
        three."""
        return (rows > 1) | self.parts.is_filter

    def scratch(self, sizes: Sizes) -> Any:
        """Return the scratch bytes of a tile or of a smaller one: the padded input, then the sums.

        A smaller tile may have more sums: two of its three rows overlap.
        """
        rows, columns = sizes["t0"], sizes["t1"]
        pixels = rows * columns
        if not self.parts.is_filter:
            pixels = np.maximum(pixels, SIDE * (ceil_div(columns, SIDE) + 1))
        return self.image_bytes(sizes) + SUM_BYTES * self.halves * pixels * sizes["k"]

    def units(self, rows: Any, columns: Any) -> Any:
        """Return the number of units that are divided among jobs: rows, or the columns of a single
        row that is arranged as three."""
        # one row of results is arranged as an image of three rows
        third = ceil_div(columns, SIDE)
        return np.where(self.in_rows(rows), rows, third + (columns - third) % 2)

    def layer_cycles(self) -> float:
        """Return the estimated cycles of the layer, if each of its groups is one tile."""
        _, rows, columns, k = self.conv.y
        sizes = {"t0": rows, "t1": columns, "k": k, "part": self.parts.count}
        return self.conv.groups * (float(self.cycles(sizes)) + GROUP)

    def cycles(self, sizes: Sizes) -> Any:
        """Estimate the cycles of a tile: the engine's jobs, and the cores' work before the first
        and after the last part while the engine is idle."""
        rows, columns, k, count = (sizes[axis] for axis in ("t0", "t1", "k", "part"))
        share = count / self.parts.count
        engine = self._job_cycles(sizes)
        jobs = np.minimum(JOBS_A_TILE, ceil_div(self.units(rows, columns), SIDE))
        each = SUM + JOINED * (self.halves - 1)
        requantised = k * (CHANNEL * jobs + each * rows * columns)
        alone = np.maximum(requantised / jobs, requantised - engine * (jobs - 1) / jobs)
        of_k = k / self.conv.y[-1] if self.keeps_scratch else 1.0
        prepared = PADDED_BYTE * self.image_bytes(sizes) * of_k
        return engine + share * (alone + prepared + JOB * jobs)

    def _job_cycles(self, sizes: Sizes) -> Any:
        """Return the cycles of NE16 for the jobs of a tile."""
        rows, columns, k, count = (sizes[axis] for axis in ("t0", "t1", "k", "part"))
        parts, outputs = self.parts, self.halves * k
        share, runs = count / parts.count, 1 + (count - 1) / parts.of_run
        is_whole = parts.at_once & (count == parts.count)
        blocks = np.where(is_whole, 1, ceil_div(outputs, OUTPUTS))
        if parts.is_filter:
            tiles = ceil_div(rows, SIDE) * ceil_div(columns, SIDE)
            moved = 2 * SIDE * SIDE * tiles * ceil_div(outputs, SUMS_AT_A_TIME)
            engine = filter_cycles(rows, columns, parts.run, outputs, SUMS, self.bits)
            return np.maximum(share * engine + (1 - share) * moved, PROGRAM * blocks)
        tiles = np.where(
            rows > 1, ceil_div(rows, SIDE) * ceil_div(columns, SIDE), run_tiles(rows * columns)
        )
        groups = count * math.ceil(parts.run / INPUTS) / parts.of_run
        engine = sums_cycles(tiles, groups, outputs, runs, runs - share)
        engine = engine + CONFLICTS * tiles * (2 * runs - share) * ceil_div(outputs, SUMS_AT_A_TIME)
        return np.maximum(engine, PROGRAM * runs * blocks)
