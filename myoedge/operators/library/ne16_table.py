# SPDX-License-Identifier: Apache-2.0
"""NE16's jobs of a tile as data: ranges of units, their jobs, and the registers of these.

The names are those of me_ne16.h and me_ne16_jobs.h.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from myoedge.numerics.arrays import ceil_div
from myoedge.operators.kernel import Fields
from myoedge.operators.library.ne16_copies import Copy
from myoedge.operators.library.ne16_jobs import (
    DEPTHWISE_MODE,
    FILTER_MODE,
    INPUTS,
    OUTPUTS,
    POINTWISE_MODE,
    SIDE,
)

WIDE_INPUT, NORMALISE, STREAM_IN, INT32 = 1 << 3, 1 << 4, 1 << 14, 2 << 21
SIGNED, SHIFTS, BIAS, MODE = 1 << 23, 1 << 24, 1 << 25, DEPTHWISE_MODE | POINTWISE_MODE
SUM_BYTES = 4
SCALE_BYTES = 12  # position of a multiplier's bytes, divided by 2
WEIGHT_BYTES = {POINTWISE_MODE: 2, FILTER_MODE: 18, DEPTHWISE_MODE: 18}


@dataclass(frozen=True, slots=True)
class Shape:
    """The registers of a job that are no addresses, as in me_ne16_shape; unused ones are 0."""

    x_pixel: int
    x_row: int
    y_pixel: int
    y_row: int
    weight_channel: int
    last_channels: int
    last_outputs: int
    last_inputs: int
    tiles_channels: int
    tiles_pixels: int
    weight_offset: int
    config: int
    weight_plane: int = 18
    y_group: int = 32

    @property
    def text(self) -> str:
        """Describe the job: its results, outputs and inputs."""
        each = (
            OUTPUTS if self.config & POINTWISE_MODE or not self.config & DEPTHWISE_MODE else INPUTS
        )
        k = _extent(self.tiles_channels >> 16, self.last_channels >> 16, each)
        c = _extent(self.tiles_channels & LOWER, self.last_channels & LOWER, INPUTS)
        rows = _extent(self.tiles_pixels >> 16, self.last_outputs >> 16, SIDE)
        columns = _extent(self.tiles_pixels & LOWER, self.last_outputs & LOWER, SIDE)
        return f"{rows} x {columns} results, {k} outputs, {c} inputs"


@dataclass(frozen=True, slots=True)
class PlacedJob:
    """A job: its shape, the bytes that are added to the addresses of a range, and the first of its
    outputs, whose parameters it reads."""

    shape: Shape
    x: int = 0
    y: int = 0
    weights: int = 0
    k: int = 0


@dataclass(frozen=True, slots=True)
class JobRange:
    """Units of a tile that are finished together.

    first      first unit; those up to the next range's are complete after the jobs
    prepared   first unit whose operands are prepared
    x, y       bytes that are added to the jobs' addresses
    copies     copies that prepare them, if they are few
    """

    first: int
    prepared: int
    jobs: tuple[PlacedJob, ...] = ()
    x: int = 0
    y: int = 0
    copies: tuple[Copy, ...] = ()


@dataclass(frozen=True, slots=True)
class TileJobs:
    """The ranges of a tile, and one without jobs that begins after the last unit."""

    ranges: tuple[JobRange, ...]
    end: JobRange

    @property
    def shapes(self) -> list[Shape]:
        """The different shapes of its jobs, in the order of their use."""
        return [*dict.fromkeys(job.shape for job in self.jobs)]

    @property
    def lists(self) -> list[tuple[PlacedJob, ...]]:
        """The different lists of jobs of its ranges."""
        return [*dict.fromkeys(part.jobs for part in self.ranges)]

    @property
    def jobs(self) -> list[PlacedJob]:
        return [job for jobs in self.lists for job in jobs]

    def first_job(self, part: JobRange) -> int:
        """Return the index of a range's first job."""
        before = self.lists[: self.lists.index(part.jobs)]
        return sum(map(len, before))

    @property
    def copies(self) -> list[Copy]:
        return [copy for part in self.ranges for copy in part.copies]

    def without_copies(self) -> TileJobs:
        ranges = tuple(replace(part, copies=()) for part in self.ranges)
        return replace(self, ranges=ranges)


class TileForm(Protocol):
    """The jobs of a layer's tiles."""

    def tile_fields(self, tile: Fields) -> Fields:
        """Return the fields of me_ne16_jobs_tile.

        tile   fields that the kernel gives, and FACTS
        """

    def of_tile(self, tile: Fields) -> TileJobs:
        """Return the jobs of a tile."""


LOWER = 0xFFFF  # of a register of two numbers


def _extent(tiles: int, last: int, whole: int) -> int:
    return (tiles - 1) * whole + (last or whole)


def _packed(upper: int, lower: int) -> int:
    return upper << 16 | lower


def job_shape(config: int, outputs: int, inputs: int, size: tuple[int, int]) -> Shape:
    """Return the shape of a job for rows x columns results, without steps.

    config   its register
    inputs   bytes; a depthwise job has as many outputs
    """
    mode, bits = config & MODE, (config & 7) + 1
    groups = ceil_div(inputs, INPUTS)
    last = inputs - INPUTS * (groups - 1)
    blocks, last_outputs = groups, last
    if mode != DEPTHWISE_MODE:
        blocks, last_outputs = ceil_div(outputs, OUTPUTS), outputs % OUTPUTS
    (rows, columns), reach = size, 0 if mode == POINTWISE_MODE else 2
    last_rows, last_columns = rows % SIDE, columns % SIDE
    beyond = [n + reach if n else 0 for n in (last_rows, last_columns)]
    return Shape(
        x_pixel=0,
        x_row=0,
        y_pixel=0,
        y_row=0,
        weight_channel=WEIGHT_BYTES[mode] * bits * groups,
        last_channels=_packed(last_outputs, last),
        last_outputs=_packed(last_rows, last_columns),
        last_inputs=_packed(*beyond),
        tiles_channels=_packed(blocks, groups),
        tiles_pixels=_packed(ceil_div(rows, SIDE), ceil_div(columns, SIDE)),
        weight_offset=-(1 << (bits - 1)),
        config=config,
    )


def bounds_of_ranges(tile: Fields) -> list[tuple[int, int]]:
    """Return the first unit of each range of a tile, and the one after its last."""
    units, at_a_time = int(tile["units"]), int(tile["units_at_a_time"])
    starts = [0, *range(int(tile["first_units"]), units, at_a_time)]
    return list(zip(starts, [*starts[1:], units], strict=True))
