# SPDX-License-Identifier: Apache-2.0
"""Schedules of NE16 jobs that make int32 sums of a convolution, their jobs as data, and their
estimated cycles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.kernel import Fields, Sizes
from myoedge.operators.library.ne16 import CHANNEL, SUM
from myoedge.operators.library.ne16_jobs import (
    FILTER_MODE,
    INPUTS,
    JOB,
    JOBS_A_TILE,
    OUTPUTS,
    POINTWISE_MODE,
    SIDE,
    SUMS,
    SUMS_AT_A_TIME,
    filter_cycles,
    filter_planes,
    run_tiles,
    sums_cycles,
)
from myoedge.operators.library.ne16_table import (
    INT32,
    SIGNED,
    STREAM_IN,
    SUM_BYTES,
    WEIGHT_BYTES,
    WIDE_INPUT,
    JobRange,
    PlacedJob,
    TileJobs,
    bounds_of_ranges,
    job_shape,
)

PART_GROUPS = 16  # maximum groups of 16 input bytes per part: 8 KiB of weights for 32 outputs
PADDED_BYTE = 0.14  # cycles of seven cores per byte of the padded input
PROGRAM = 150  # cycles in which the control core programs a job
JOINED = 1.1  # cycles of eight cores for joining the sums of two halves
CONFLICTS = 4.0  # L1 cycles for storing or loading the sums of eight channels of 3x3 pixels
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

    @property
    def mode(self) -> int:
        """Mode of the jobs."""
        return FILTER_MODE if self.is_filter else POINTWISE_MODE

    @property
    def plane_bytes(self) -> int:
        """Bytes per bit of the weights of a part, for one output."""
        return WEIGHT_BYTES[self.mode] // self.size * self.groups

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

    def tile_fields(self, tile: Fields) -> Fields:
        """Return the fields of me_ne16_jobs_tile."""
        _, columns, apart = self._results(tile)
        conv = {name: value for name, value in tile.items() if name.startswith("conv.")}
        image = self.image_bytes({"t0": tile["conv.oh"], "t1": tile["conv.ow"]})
        in_rows = self.in_rows(tile["conv.oh"])
        return {
            "at.weights": conv.pop("conv.weights"),
            "at.x": f"@scratch+{self._part_bytes(tile, int(tile['first_part']))}",
            "at.y": f"@scratch+{image}",
            **conv,
            "run": 0 if in_rows else columns,
            "apart": 0 if in_rows else apart,
            "has_scratch": tile["has_scratch"],
            "restores": 0,
        }

    def of_tile(self, tile: Fields) -> TileJobs:
        """Return the jobs of a tile, whose units are complete if it has the last part."""
        in_rows, units = bool(self.in_rows(int(tile["conv.oh"]))), int(tile["units"])
        is_last = int(tile["first_part"]) + int(tile["parts"]) == self.parts.count
        steps, (rows, columns, _) = self._steps(tile), self._results(tile)
        x_unit = steps["x_row" if in_rows else "x_pixel"]
        y_unit = steps["y_row" if in_rows else "y_pixel"]

        def units_from(start: int) -> JobRange:
            prepared = start if in_rows else min(start, 1)
            return JobRange(is_last * start, prepared, x=start * x_unit, y=start * y_unit)

        def range_of(start: int, end: int) -> JobRange:
            size = (end - start, columns) if in_rows else (rows, end - start)
            return replace(units_from(start), jobs=tuple(self._jobs(tile, size, steps)))

        ranges = (range_of(*bounds) for bounds in bounds_of_ranges(tile))
        return TileJobs(tuple(ranges), units_from(units))

    def _results(self, tile: Fields) -> tuple[int, int, int]:
        """Return the rows and columns of the sums of a tile, and the results from row to row: one
        row of results is three rows, which may overlap."""
        rows, columns = int(tile["conv.oh"]), int(tile["conv.ow"])
        if self.in_rows(rows):
            return rows, columns, columns
        run = int(self.units(rows, columns))
        return SIDE, run, (columns - run) // 2

    def _steps(self, tile: Fields) -> dict[str, int]:
        """Return the steps of a tile's jobs in bytes."""
        conv, (_, columns, apart) = self.conv, self._results(tile)
        pixel = self.parts.size * conv.x[-1]
        down = conv.stride[0] * self._padded_columns(tile) * pixel
        x_pixel, y_pixel = conv.stride[1] * pixel, SUM_BYTES * self.halves * int(tile["conv.k"])
        in_rows = self.in_rows(int(tile["conv.oh"]))
        return {
            "x_pixel": x_pixel,
            "x_row": down if in_rows else apart * x_pixel,
            "y_pixel": y_pixel,
            "y_row": columns * y_pixel,
        }

    def _padded_columns(self, tile: Fields) -> int:
        return int(self.conv.reach({"t0": 1, "t1": int(tile["conv.ow"])})[1])

    def _part_bytes(self, tile: Fields, part: int) -> int:
        """Return the offset of a part's inputs from the start of a window."""
        conv, (run, in_run) = self.conv, divmod(part, self.parts.of_run)
        row, column = divmod(run, 1 if conv.dilation[1] == 1 else conv.kernel[1])
        position = row * conv.dilation[0] * self._padded_columns(tile) + column * conv.dilation[1]
        return position * self.parts.size * conv.x[-1] + INPUTS * self.parts.groups * in_run

    def _jobs(
        self, tile: Fields, size: tuple[int, int], steps: dict[str, int]
    ) -> Iterator[PlacedJob]:
        """Yield the jobs of rows x columns sums: of each run, of all outputs or 32 at a time."""
        parts, first, count = self.parts, int(tile["first_part"]), int(tile["parts"])
        all_k, part_bytes = self.halves * int(tile["conv.k"]), self.bits * parts.plane_bytes
        at_once = all_k if parts.at_once and count == parts.count else OUTPUTS
        config = parts.mode | self.bits - 1 | SIGNED | INT32 | WIDE_INPUT * (parts.size - 1)
        begin, of_output = self._part_bytes(tile, first), count * part_bytes
        steps = {**steps, "weight_plane": 18 // parts.size, "weight_channel": of_output}
        for part, inputs in parts.of_runs(first, count):
            x, weights = self._part_bytes(tile, part) - begin, (part - first) * part_bytes
            for k in range(0, all_k, at_once):
                added = STREAM_IN if part else 0
                shape = job_shape(config | added, min(all_k - k, at_once), inputs, size)
                y, at = SUM_BYTES * k, k * of_output + weights
                yield PlacedJob(replace(shape, **steps), x, y, at)

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
