# SPDX-License-Identifier: Apache-2.0
"""NE16's jobs of layers whose results it requantises, and of rows of sums, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.kernel import Fields
from myoedge.operators.library.ne16_copies import CopiedOperands
from myoedge.operators.library.ne16_jobs import JOB_PIXELS, POINTWISE_MODE, SIDE
from myoedge.operators.library.ne16_table import (
    BIAS,
    INT32,
    NORMALISE,
    SCALE_BYTES,
    SHIFTS,
    SIGNED,
    SUM_BYTES,
    JobRange,
    PlacedJob,
    Shape,
    TileJobs,
    bounds_of_ranges,
    job_shape,
)

# Facts about a tile that determine its jobs, and no field of the tile struct.
FACTS = frozenset(
    {"conv.weights", "first_k", "units", "first_units", "units_at_a_time", "y_row", "sums"}
)


@dataclass(frozen=True, slots=True)
class JobForm:
    """The jobs of a layer whose results NE16 requantises, or of sums.

    mode          FILTER_MODE, DEPTHWISE_MODE or POINTWISE_MODE
    weight_bits   bits of a weight
    scale_bytes   bytes of a multiplier; 0 if results are sums
    outputs       outputs of the whole layer
    inputs        inputs of a pixel
    groups        groups of inputs and outputs, each of which has jobs of its own
    step          bytes between the operands of neighbouring results
    row_bytes     of jobs of rows: bytes between the operands of neighbouring rows with one
                  result, and more for each other one
    in_run        whether units are results in a row; 3x3 jobs treat them as rows of three
    turned        whether rows of the convolution are columns of x and y
    phases        distance of the rows and of the columns that a job computes
    operands      copies that may prepare them; None: a C function does it
    """

    mode: int
    weight_bits: int
    scale_bytes: int
    outputs: int
    inputs: int
    step: int
    row_bytes: tuple[int, int] = (0, 0)
    in_run: bool = True
    turned: bool = False
    phases: tuple[int, int] = (1, 1)
    operands: CopiedOperands | None = None
    groups: int = 1

    @property
    def is_pixels(self) -> bool:
        """Whether units are pixels of 1x1 jobs."""
        return self.in_run and self.mode == POINTWISE_MODE

    def tile_fields(self, tile: Fields) -> Fields:
        """Return the fields of me_ne16_jobs_tile: those given without FACTS, the addresses of the
        jobs, and the bytes of a unit."""
        first_k, scales = int(tile["first_k"]), 4 * self.outputs
        shifts = scales + self.scale_bytes * self.outputs
        parameters: Fields = {
            "at.scales": f"@parameters+{scales + self.scale_bytes * first_k}",
            "at.shifts": f"@parameters+{shifts + first_k}",
            "at.biases": f"@parameters+{4 * first_k}",
        }
        operands = int(round_up(int(tile["units"]) * self.step, 4))
        ninth = f"@scratch+{operands + JOB_PIXELS * first_k}"
        return {
            "at.weights": tile["conv.weights"],
            "at.x": tile["conv.padded"],
            "at.y": ninth if tile["ninth"] else tile["conv.y" if self.scale_bytes else "sums"],
            **(parameters if self.scale_bytes else {}),
            "unit_bytes": self._unit_bytes(tile),
            **{name: value for name, value in tile.items() if name not in FACTS},
        }

    def of_tile(self, tile: Fields) -> TileJobs:
        """Return the jobs of a tile."""
        ranges = (self._range(tile, i, *bounds) for i, bounds in enumerate(bounds_of_ranges(tile)))
        units = int(tile["units"])
        return TileJobs(tuple(ranges), JobRange(units, units))

    def _range(self, tile: Fields, number: int, start: int, end: int) -> JobRange:
        first = start
        if self.is_pixels and start > 0 and (end - start) % JOB_PIXELS == JOB_PIXELS - 1:
            first -= 1  # of 9 n + 8 pixels, 3x3 tiles are two more than of 9 n; of 9 n + 9, one
        if self.is_pixels:
            x, y = self._run_places(tile, number, first)
        else:
            x, y = first * self._row_step(tile), first * self._unit_bytes(tile)
        jobs = tuple(self._jobs(tile, end - first))
        copies = self.operands.of_units(tile, start, end) if self.operands else ()
        return JobRange(first, start, jobs, x, y, copies)

    def _run_places(self, tile: Fields, number: int, first: int) -> tuple[int, int]:
        """Return the places of operands and results of a range of results in a row; sums of jobs
        alternate between two buffers."""
        at = first if self.scale_bytes else number % 2 * int(tile["units_at_a_time"])
        return first * self.step, 0 if tile["ninth"] else at * self._unit_bytes(tile)

    def _jobs(self, tile: Fields, units: int) -> Iterator[PlacedJob]:
        """Yield the jobs of some units: of each group that has outputs in a tile."""
        first, k, each = int(tile["first_k"]), int(tile["conv.k"]), self.outputs // self.groups
        for group in range(first // each, ceil_div(first + k, each)):
            start = max(group * each - first, 0)
            own = {**tile, "conv.k": min((group + 1) * each - first, k) - start}
            jobs = [self._run_job(own, units)] if self.is_pixels else self._image_jobs(own, units)
            for job in jobs:
                weights = start * job.shape.weight_channel
                x, y = job.x + group * self.inputs, job.y + start
                yield PlacedJob(job.shape, x, y, weights, start)

    def _run_job(self, tile: Fields, n: int) -> PlacedJob:
        """Return the job of n results in a row: three runs, which overlap if n is no multiple of
        3."""
        y_step = self._unit_bytes(tile)
        if tile["ninth"]:
            n, y_step = JOB_PIXELS, int(tile["conv.k"])
        third = ceil_div(n, SIDE)
        run = third + (n - third) % 2
        apart = (n - run) // 2
        shape = self._shape(tile, (SIDE, run))
        steps = {"x_pixel": self.step, "x_row": apart * self.step}
        return PlacedJob(replace(shape, **steps, y_pixel=y_step, y_row=apart * y_step))

    def _image_jobs(self, tile: Fields, units: int) -> Iterator[PlacedJob]:
        """Yield a job for each phase of rows of results, or of results of a row: of the latter it
        may write one or two too many, which a later job overwrites."""
        down, across = self.phases
        columns = units if self.in_run else int(tile["conv.ow"])
        x_row, unit_bytes = self._row_step(tile), self._unit_bytes(tile)
        y_pixel = int(tile["conv.y_stride"])
        for row in range(1 if self.in_run else min(down, units)):
            for column in range(min(across, columns)):
                of_phase = ceil_div(columns - column, across)
                size = (ceil_div(units - row, down), of_phase)
                if self.in_run:
                    size = (ceil_div(of_phase, SIDE), min(of_phase, SIDE))
                shape = replace(
                    self._shape(tile, size),
                    x_pixel=across * self.step,
                    y_pixel=across * y_pixel,
                    x_row=SIDE * across * self.step if self.in_run else down * x_row,
                    y_row=SIDE * across * y_pixel if self.in_run else down * unit_bytes,
                )
                y = row * unit_bytes + column * y_pixel
                yield PlacedJob(shape, row * x_row + column * self.step, y)

    def _row_step(self, tile: Fields) -> int:
        """Return the bytes between the operands of neighbouring units of an image."""
        one, more = self.row_bytes
        return self.step if self.in_run else one + (int(tile["conv.ow"]) - 1) * more

    def _unit_bytes(self, tile: Fields) -> int:
        if not self.scale_bytes:
            return SUM_BYTES * int(tile["conv.k"])
        if self.turned:
            return int(tile["y_row"])
        return int(tile["conv.y_stride"]) * (1 if self.in_run else int(tile["conv.ow"]))

    def _shape(self, tile: Fields, size: tuple[int, int]) -> Shape:
        """Return the shape of a job for rows x columns results, without steps."""
        config = self.mode | self.weight_bits - 1 | SIGNED
        config |= INT32 if not self.scale_bytes else NORMALISE | SHIFTS | BIAS
        config |= self.scale_bytes // 2 << SCALE_BYTES
        return job_shape(config, int(tile["conv.k"]), self.inputs, size)
