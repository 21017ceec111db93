# SPDX-License-Identifier: Apache-2.0
"""Schedules of NE16 jobs for convolutions, and their estimated cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.conv.geometry import Conv2dGeometry, tile_fields
from myoedge.operators.conv.ne16_rules import (
    ONE_PHASE,
    Phases,
    turned_operand,
    turned_region,
    turned_strides,
)
from myoedge.operators.kernel import Fields, Operand, Region, Sizes
from myoedge.operators.library.ne16_jobs import (
    DEPTHWISE_MODE,
    FILTER_MODE,
    JOB,
    JOB_PIXELS,
    POINTWISE_MODE,
    SIDE,
    WEIGHT_BITS,
    cycles_by_jobs,
    cycles_of_jobs,
    depthwise_cycles,
    filter_cycles,
    image_cycles,
    pads_to_nine_pixels,
    pointwise_cycles,
    units_of_jobs,
)
from myoedge.operators.library.ne16_parts import WindowParts
from myoedge.operators.library.ne16_table import SUM_BYTES

FILTER, DEPTHWISE, PIXELS, WINDOWS = range(4)  # job kinds
MODES = {
    FILTER: FILTER_MODE,
    DEPTHWISE: DEPTHWISE_MODE,
    PIXELS: POINTWISE_MODE,
    WINDOWS: POINTWISE_MODE,
}
# Cycles of seven cores.
PADDED_BYTE, PADDED_ROW = 0.14, 14.0  # per byte and per row of the padded input
# Windows: per piece (a row, or a tap if columns are dilated), inside the input or its padded copy,
# or if windows may cross an edge; per byte of pieces of whole words, of others, of less than a
# word; per piece of all windows of a row of results, or per window if these are fewer and
# undilated.
PIECE, PIECE_OVER_EDGES = 0.9, 3.0
WORDS_BYTE, ODD_BYTE, NARROW_BYTE = 0.06, 0.2, 0.5
TOGETHER = 22.0
EDGE_ROW = 10.0  # per piece of a window that crosses an edge

DEPTHWISE_CONFLICTS = 1.06  # factor for conflicts of the engine's stores with its own loads
PHASE = 150.0  # cycles to program a job, exposed for the first job of a tile and for shorter ones


@dataclass(frozen=True, slots=True)
class JobSchedule:
    """A schedule of NE16 jobs for a convolution, with its cycle estimate.

    conv            geometry of a tile: of the layer, or of one of the groups that are tiles
    number          kind of job: FILTER (3x3), DEPTHWISE, PIXELS (1x1) or WINDOWS (1x1 on copied
                    windows)
    scale           bytes of a requantisation multiplier; SUMS if the cores requantise
    joined          adjacent results of a row that are computed as one pixel
    keeps_scratch   whether scratch lasts between tiles of the same positions
    jobs            jobs per tile; 0: the estimated best number
    bits            bits of a weight
    turned          whether rows and columns are exchanged
    is_spread       whether weights of 0 are put between the layer's taps, which are dilated
    phases          for FILTER and DEPTHWISE, the results that each job computes; None: all
    groups          groups of `conv` that are jobs of a tile
    parts           parts of a window whose sums are added; None: a job has all its products
    sizes           bytes of an input and of a result
    """

    conv: Conv2dGeometry
    number: int
    scale: int
    joined: int = 1
    keeps_scratch: bool = True
    jobs: int = 0
    bits: int = WEIGHT_BITS
    turned: bool = False
    is_spread: bool = False
    phases: Phases | None = None
    groups: int = 1
    parts: WindowParts | None = None
    sizes: tuple[int, int] = (1, 1)

    @property
    def inputs(self) -> int:
        """Inputs of a pixel of a job."""
        if self.number in (FILTER, DEPTHWISE):
            return (self.phases or ONE_PHASE).pixel * self.conv.x[-1] // self.groups
        return self.conv.taps // self.groups

    @property
    def mode(self) -> int:
        """Mode of the jobs."""
        return MODES[self.number]

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the channels of a position of the input."""
        return self.sizes[0] * self.conv.x[-1]

    @property
    def step(self) -> int:
        """Bytes between the operands of neighbouring results."""
        if self.number == WINDOWS:
            return self.conv.taps
        return self.conv.stride[1] * self.pixel_bytes

    @property
    def outputs(self) -> int:
        """Outputs of the whole layer."""
        return self.conv.y[-1] * self.conv.groups

    @property
    def phase_steps(self) -> tuple[int, int]:
        """Distance of the rows and of the columns that a job computes."""
        phases = self.phases or ONE_PHASE
        return phases.down, phases.across

    def in_memory(self, operand: Operand) -> Operand:
        """Return an operand with its axes in memory order, undoing an exchange of rows and
        columns."""
        return turned_operand(operand) if self.turned else operand

    @property
    def is_depthwise(self) -> bool:
        return self.number == DEPTHWISE

    @property
    def in_rows(self) -> bool:
        """Whether a job computes whole rows of results instead of a run of consecutive results."""
        if self.phases:
            return not self.phases.in_row
        rows = self.number == PIXELS and (self.conv.y[1] > 1 or self.turned)
        return rows or self.number in (FILTER, DEPTHWISE) or self.parts is not None

    @property
    def copies_padding(self) -> bool:
        """Whether the cores first copy the input with its padding; otherwise they pad each window
        at an edge. The estimated cycles decide."""
        _, rows, columns, _ = self.conv.y
        sizes = {"t0": rows, "t1": columns}
        return self.number == WINDOWS and self._padded_copy_cycles(sizes) < self._edge_cycles(sizes)

    def _padded_copy_cycles(self, sizes: Sizes) -> Any:
        """Cycles for copying a tile's input with padding."""
        return PADDED_BYTE * self._image_bytes(sizes) + PADDED_ROW * self.conv.reach(sizes)[0]

    def _image_bytes(self, sizes: Sizes) -> Any:
        """Return the bytes of a copy of a tile's padded input."""
        rows, columns = self.conv.reach(sizes)
        return round_up(rows * columns * self.pixel_bytes, 4) + 4

    def _edge_cycles(self, sizes: Sizes) -> Any:
        """Return the extra cycles of windows that cross an edge."""
        windows = self.conv.edge_share * sizes["t0"] * sizes["t1"]
        return EDGE_ROW * self._pieces * windows

    @property
    def _pieces(self) -> int:
        """Pieces in which a window is copied, as me_ne16_copy_windows does: its rows, or its taps
        if columns are dilated."""
        rows, columns = self.conv.kernel
        return rows * (columns if self.conv.dilation[1] > 1 else 1)

    def _pads_to_nine_windows(self, sizes: Sizes) -> Any:
        """Whether a tile, the whole layer, has eight windows, computed as nine."""
        pixels, (_, rows, columns, _) = sizes["t0"] * sizes["t1"], self.conv.y
        return self.number == WINDOWS and pads_to_nine_pixels(pixels, rows * columns)

    def cycles(self, sizes: Sizes) -> Any:
        """Return the estimated cycles of a tile: the cores prepare the first job, then each next
        job while NE16 computes; if scratch is kept, once for all tiles of channels.

        sizes   loop -> tile extent
        """
        of_k = sizes.get("k", self.conv.y[-1]) / self.conv.y[-1] if self.keeps_scratch else 1.0
        prepared, computed = self.prepared(sizes) * of_k, self.computed(sizes)
        if self.parts:
            return self.parts.tile_cycles(sizes, prepared, computed)
        if self.jobs:
            return cycles_of_jobs(self.jobs, prepared, computed)
        return np.minimum.reduce(cycles_by_jobs(prepared, computed))

    def computed(self, sizes: Sizes) -> Any:
        """Return the cycles of NE16 for the jobs of a tile."""
        if self.parts:
            return self.parts.cycles(sizes, self.bits)
        rows, columns, k = sizes["t0"], sizes["t1"], sizes.get("k", self.conv.y[-1])
        each = self.conv.y[-1] // self.groups
        alone = self._group_cycles(rows, columns, np.minimum(k, each))
        return ceil_div(k, each) * np.maximum(alone, PHASE if self.groups > 1 else 0)

    def _group_cycles(self, rows: Any, columns: Any, k: Any) -> Any:
        """Return the cycles of NE16 for k outputs of a group."""
        if self.number in (FILTER, DEPTHWISE):
            return self._filter_cycles(rows, columns, k)
        if self.in_rows:
            tiles = ceil_div(rows, SIDE) * ceil_div(columns, SIDE)
            return image_cycles(tiles, self.inputs, k, self.scale)
        pixels = rows * columns + self._pads_to_nine_windows({"t0": rows, "t1": columns})
        return pointwise_cycles(pixels, self.inputs, k, self.scale)

    def _filter_cycles(self, rows: Any, columns: Any, k: Any) -> Any:
        """Cycles of the engine for 3x3 jobs."""
        phases = self.phases or ONE_PHASE
        sizes = phases.of_phase(rows, columns)
        if self.number == DEPTHWISE:
            alone = DEPTHWISE_CONFLICTS * depthwise_cycles(
                *sizes, self.inputs, self.scale, self.bits
            )
        else:
            alone = filter_cycles(*sizes, self.inputs, k, self.scale, self.bits)
        alone = phases.count * np.maximum(alone, PHASE) + (PHASE if self.phases else 0)
        cut = phases.is_cut(rows * columns)
        return alone + cut * np.where(rows * columns < SIDE * phases.least, alone, JOB)

    def prepared(self, sizes: Sizes) -> Any:
        """Return the cycles in which the cores prepare the operands of a tile's jobs."""
        if self.parts:
            return PADDED_BYTE * self._image_bytes(sizes)
        if self.number != WINDOWS:
            return self._padded_copy_cycles(sizes)
        is_dilated = self.conv.dilation[1] > 1
        copies = self._pieces if is_dilated else np.minimum(self._pieces, sizes["t1"])
        windows = sizes["t0"] * (sizes["t1"] * self._window_cycles + TOGETHER * copies)
        if not self.conv.reaches_over:
            return windows
        alone = self._padded_copy_cycles if self.copies_padding else self._edge_cycles
        return alone(sizes) + windows

    @property
    def _window_cycles(self) -> float:
        """Cycles for copying a window, but for its padding."""
        crosses = self.conv.reaches_over and not self.copies_padding
        size, step = self.conv.taps // self._pieces, self.conv.stride[1] * self.conv.x[-1]
        byte = NARROW_BYTE if size < 4 else ODD_BYTE if (size | step) % 4 else WORDS_BYTE
        return (PIECE_OVER_EDGES if crosses else PIECE) * self._pieces + byte * self.conv.taps

    def scratch(self, sizes: Sizes) -> Any:
        """Return the scratch bytes of a tile, or of a smaller one: copied windows, then the padded
        input, then sums.

        With eight windows, NE16 also reads a ninth one there and writes nine results over it. A
        run of sums has up to two too many, whose windows begin behind the input.
        """
        image, pixels = self._image_bytes(sizes), sizes["t0"] * sizes["t1"]
        if self.parts:
            more = 0 if self.parts.is_filter else SIDE * ceil_div(sizes["t1"], SIDE)
            sums = SUM_BYTES * self.parts.halves * sizes["k"] * np.maximum(pixels, more)
            return image + np.maximum(sums, (SIDE - 1) * self.step)
        if self.phases:
            return image + self.phases.bytes_beyond(self.conv)
        if self.number != WINDOWS:
            return image
        nine = np.where(
            self._pads_to_nine_windows(sizes), max(JOB_PIXELS * self.conv.y[3], self.conv.taps), 0
        )
        image = image if self.copies_padding else 0
        return round_up(pixels * self.conv.taps, 4) + np.maximum(image, nine)

    def fields(self, regions: Mapping[str, Region]) -> Fields:
        if self.turned:
            regions = {**regions, **{name: turned_region(regions[name]) for name in "xy"}}
        y = regions["y"]
        _, rows, columns, _, _ = y.extent
        sizes = {"t0": rows, "t1": columns, "k": y.extent[4]}
        conv = dict(tile_fields(regions))
        for name, size in zip(("row_stride", "y_stride"), self.sizes, strict=True):
            conv[name] = size * int(conv[name])
        unused = ("scratch",) if self.parts else ("channels", "scratch")
        return {
            **{f"conv.{name}": conv[name] for name in conv if name not in unused},
            "conv.padded": "@scratch",
            **(turned_strides(regions) if self.turned else {}),
            "first_k": y.start[3] * self.conv.y[3] + y.start[4],
            "ninth": int(self._pads_to_nine_windows(sizes)),
            "restores": 0,
            "has_scratch": int(self.keeps_scratch and y.start[4] > 0),
            **self._unit_fields(sizes, regions["weights"]),
        }

    def _unit_fields(self, sizes: Sizes, weights: Region) -> Fields:
        """Return the units of a tile and of its jobs.

        weights   region of its weights
        """
        rows, columns = sizes["t0"], sizes["t1"]
        if self.parts:
            units = self.parts.tile_fields(rows, columns, weights)
            return {**units, "sums": f"@scratch+{self._image_bytes(sizes)}"}
        first, others = self.job_units(sizes, self.jobs)
        number = rows * (1 if self.in_rows else columns)
        return {"units": number, "first_units": first, "units_at_a_time": others}

    def job_units(self, sizes: Sizes, jobs: int) -> tuple[int, int]:
        """Return the units (rows or results) of a tile's first job, and of each later job except
        the last.

        jobs   jobs per tile; 0: the estimated best number
        """
        units = sizes["t0"] * (1 if self.in_rows else sizes["t1"])
        prepared, computed = self.prepared(sizes), self.computed(sizes)
        count = jobs or 1 + int(np.argmin(cycles_by_jobs(prepared, computed)))
        first, others = units_of_jobs(units, self.least_units, count, prepared, computed)
        return (self.phases.first_units(first, units) if self.phases else first), others

    @property
    def least_units(self) -> int:
        """Units (rows of results, or results in a row) of the smallest job that fills NE16's 3x3
        blocks."""
        if self.phases:
            return SIDE * self.phases.least
        return SIDE if self.in_rows else JOB_PIXELS

    def launches_next_tile(self, here: Fields, behind: Fields) -> bool:
        """Return whether the first job of the next tile may start before the cores have finished
        this tile.

        here, behind   tile fields of this and of the next tile
        """
        if self.parts is None or not behind["has_scratch"]:
            return bool(behind["has_scratch"])
        several = int(here["units_at_a_time"]) < int(here["units"])
        alike = here["conv.k"] == behind["conv.k"]  # the first jobs' sums are at the same places
        return int(behind["first_part"]) > 0 or (several and alike)
