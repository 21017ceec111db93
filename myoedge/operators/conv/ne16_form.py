# SPDX-License-Identifier: Apache-2.0
"""NE16's jobs of a schedule as data: results that it requantises, and sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.conv.ne16_schedule import JobSchedule
from myoedge.operators.kernel import Fields
from myoedge.operators.library.ne16_copies import CopiedOperands
from myoedge.operators.library.ne16_jobs import JOB_PIXELS, OUTPUTS, POINTWISE_MODE, SIDE
from myoedge.operators.library.ne16_table import (
    BIAS,
    INT32,
    NORMALISE,
    SCALE_BYTES,
    SHIFTS,
    SIGNED,
    STREAM_IN,
    SUM_BYTES,
    WIDE_INPUT,
    JobRange,
    PlacedJob,
    Shape,
    TileJobs,
    bounds_of_ranges,
    job_shape,
)

# Facts about a tile that determine its jobs, and no field of the tile struct.
FACTS = frozenset(
    {
        *("conv.weights", "first_k", "units", "first_units", "units_at_a_time", "y_row", "sums"),
        *("first_part", "parts"),
    }
)


@dataclass(frozen=True, slots=True)
class JobForm:
    """The jobs of a schedule, whose results NE16 requantises, or which are sums.

    way        the schedule
    operands   copies that may prepare their operands; None: a C function does it
    """

    way: JobSchedule
    operands: CopiedOperands | None = None

    def tile_fields(self, tile: Fields) -> Fields:
        """Return the fields of me_ne16_jobs_tile: those given without FACTS, the addresses of the
        jobs, and the size of a unit."""
        first_k, scales = int(tile["first_k"]), 4 * self.way.outputs
        shifts = scales + self.way.scale * self.way.outputs
        parameters: Fields = {
            "at.scales": f"@parameters+{scales + self.way.scale * first_k}",
            "at.shifts": f"@parameters+{shifts + first_k}",
            "at.biases": f"@parameters+{4 * first_k}",
        }
        results = 1 if self._is_run(tile) else int(tile["conv.ow"])
        operands = int(round_up(int(tile["units"]) * self.way.step, 4))
        ninth = f"@scratch+{operands + JOB_PIXELS * first_k}"
        of_part = self._part_bytes(tile, int(tile["first_part"])) if self.way.parts else 0
        return {
            "at.weights": tile["conv.weights"],
            "at.x": f"{tile['conv.padded']}+{of_part}" if of_part else tile["conv.padded"],
            "at.y": ninth if tile["ninth"] else tile["conv.y" if self.way.scale else "sums"],
            **(parameters if self.way.scale else {"unit_results": results}),
            "unit_bytes": self._unit_bytes(tile),
            **{name: value for name, value in tile.items() if name not in FACTS},
        }

    def of_tile(self, tile: Fields) -> TileJobs:
        """Return the jobs of a tile."""
        ranges = (self._range(tile, i, *bounds) for i, bounds in enumerate(bounds_of_ranges(tile)))
        units = int(tile["units"])
        return TileJobs(tuple(ranges), JobRange(*self._first_units(tile, units, units)))

    def _range(self, tile: Fields, number: int, start: int, end: int) -> JobRange:
        first, is_run = start, self._is_run(tile)
        is_pixels = is_run and self.way.mode == POINTWISE_MODE and self.way.parts is None
        if is_pixels and start > 0 and (end - start) % JOB_PIXELS == JOB_PIXELS - 1:
            first -= 1  # of 9 n + 8 pixels, 3x3 tiles are two more than of 9 n; of 9 n + 9, one
        at = first
        if is_pixels and not self.way.scale:  # sums of jobs alternate between two buffers
            at = number % 2 * int(tile["units_at_a_time"])
        return JobRange(
            *self._first_units(tile, first, start),
            tuple(self._jobs(tile, end - first)),
            first * (self.way.step if is_run else self._row_step(tile)),
            at * self._unit_bytes(tile),
            self.operands.of_units(tile, start, end) if self.operands else (),
        )

    def _first_units(self, tile: Fields, first: int, prepared: int) -> tuple[int, int]:
        """Return the first unit of a range that is complete after its jobs, and the first whose
        operands are prepared. Units are complete with their last part; a run of windows of several
        rows is prepared at once."""
        if self.way.parts is None:
            return first, prepared
        is_last = int(tile["first_part"]) + int(tile["parts"]) == self.way.parts.count
        return is_last * first, min(prepared, 1) if self._is_run(tile) else prepared

    def _jobs(self, tile: Fields, units: int) -> Iterator[PlacedJob]:
        """Yield the jobs of some units: for each part of their products, the outputs of each group
        or 32 at a time, in each phase."""
        # (rows and columns of results, steps, bytes to operands and results)
        if self._is_run(tile) and self.way.mode == POINTWISE_MODE:
            pixels = [(*self._run_pixels(tile, units), 0, 0)]
        else:
            pixels = [*self._image_pixels(tile, units)]
        size = 1 if self.way.scale else SUM_BYTES
        steps = dict[str, int]()
        if (parts := self.way.parts) is not None:  # a job has not all weights of an output
            of_output = int(tile["parts"]) * self.way.bits * parts.plane_bytes
            steps = {"weight_plane": 18 // parts.size, "weight_channel": of_output}
        for x, weights, inputs, added in self._inputs(tile):
            for start, k, group in self._outputs(tile):
                for extent, of_pixels, x_from, y_from in pixels:
                    shape = replace(self._shape(k, inputs, extent, added), **of_pixels, **steps)
                    yield PlacedJob(
                        shape,
                        x_from + x + group * self.way.inputs,
                        y_from + start * size,
                        start * shape.weight_channel + weights,
                        start if self.way.scale else 0,
                    )

    def _inputs(self, tile: Fields) -> Iterator[tuple[int, int, int, int]]:
        """Yield the inputs of jobs: (bytes to their operands and to their weights, inputs in bytes,
        what is added to `config`)."""
        parts = self.way.parts
        if parts is None:
            yield 0, 0, self.way.inputs, 0
            return
        first, count = int(tile["first_part"]), int(tile["parts"])
        begin, part_bytes = self._part_bytes(tile, first), self.way.bits * parts.plane_bytes
        for part, inputs in parts.of_runs(first, count):
            x, weights = self._part_bytes(tile, part) - begin, (part - first) * part_bytes
            yield x, weights, inputs, STREAM_IN if part else 0

    def _outputs(self, tile: Fields) -> Iterator[tuple[int, int, int]]:
        """Yield the outputs of jobs: (first one in the tile, number, group): of each group that has
        outputs in a tile, or of parts that lie apart, 32 at a time."""
        first, k, parts = int(tile["first_k"]), int(tile["conv.k"]), self.way.parts
        if parts:
            k *= parts.halves
            each = k if parts.at_once and tile["parts"] == parts.count else OUTPUTS
            for start in range(0, k, each):
                yield start, min(k - start, each), 0
            return
        each = self.way.outputs // self.way.groups
        for group in range(first // each, ceil_div(first + k, each)):
            start = max(group * each - first, 0)
            yield start, min((group + 1) * each - first, k) - start, group

    def _run_pixels(self, tile: Fields, n: int) -> tuple[tuple[int, int], dict[str, int]]:
        """Return the pixels of n results in a row: three runs. If n is no multiple of 3, they
        overlap; sums that jobs add to may not: there are one or two too many."""
        y_step = self._unit_bytes(tile)
        if tile["ninth"]:
            n, y_step = JOB_PIXELS, int(tile["conv.k"])
        run = ceil_div(n, SIDE)
        run += 0 if self.way.parts else (n - run) % 2
        apart = run if self.way.parts else (n - run) // 2
        steps = {"x_pixel": self.way.step, "x_row": apart * self.way.step}
        return (SIDE, run), {**steps, "y_pixel": y_step, "y_row": apart * y_step}

    def _image_pixels(
        self, tile: Fields, units: int
    ) -> Iterator[tuple[tuple[int, int], dict[str, int], int, int]]:
        """Yield the pixels of each phase of rows of results, or of results of a row: of the latter
        a job may write one or two too many, which a later job overwrites."""
        (down, across), step, in_rows = self.way.phase_steps, self.way.step, self.way.in_rows
        columns = int(tile["conv.ow"]) if in_rows else units
        x_row, unit_bytes = self._row_step(tile), self._unit_bytes(tile)
        y_pixel = self._result_bytes(tile)
        for row in range(min(down, units) if in_rows else 1):
            for column in range(min(across, columns)):
                of_phase = ceil_div(columns - column, across)
                size = (ceil_div(units - row, down), of_phase)
                if not in_rows:
                    size = (ceil_div(of_phase, SIDE), min(of_phase, SIDE))
                steps = {
                    "x_pixel": across * step,
                    "y_pixel": across * y_pixel,
                    "x_row": down * x_row if in_rows else SIDE * across * step,
                    "y_row": down * unit_bytes if in_rows else SIDE * across * y_pixel,
                }
                y = row * unit_bytes + column * y_pixel
                yield size, steps, row * x_row + column * step, y

    def _is_run(self, tile: Fields) -> bool:
        """Return whether units are results in a row. Units of parts are, in a tile of one row."""
        return not self.way.in_rows or (
            self.way.parts is not None and bool(self.way.parts.is_run(int(tile["conv.oh"])))
        )

    def _row_bytes(self, tile: Fields) -> int:
        """Return the bytes of a row of operands of a tile."""
        columns = int(self.way.conv.reach({"t0": 1, "t1": int(tile["conv.ow"])})[1])
        return columns * self.way.pixel_bytes

    def _row_step(self, tile: Fields) -> int:
        """Return the bytes between the operands of neighbouring units of an image."""
        if not self.way.in_rows:
            return self.way.step
        return self.way.conv.stride[0] * self._row_bytes(tile)

    def _part_bytes(self, tile: Fields, part: int) -> int:
        assert self.way.parts is not None, "a layer without parts"
        return self.way.parts.offset_bytes(part, self._row_bytes(tile))

    def _result_bytes(self, tile: Fields) -> int:
        if self.way.scale:
            return int(tile["conv.y_stride"])
        return SUM_BYTES * int(tile["conv.k"]) * (self.way.parts.halves if self.way.parts else 1)

    def _unit_bytes(self, tile: Fields) -> int:
        if self.way.turned:
            return int(tile["y_row"])
        return self._result_bytes(tile) * (1 if self._is_run(tile) else int(tile["conv.ow"]))

    def _shape(self, k: int, inputs: int, size: tuple[int, int], added: int) -> Shape:
        """Return the shape of a job for rows x columns results, without steps."""
        config = self.way.mode | self.way.bits - 1 | SIGNED | added
        config |= INT32 if not self.way.scale else NORMALISE | SHIFTS | BIAS
        config |= WIDE_INPUT * (self.way.parts.size - 1) if self.way.parts else 0
        config |= self.way.scale // 2 << SCALE_BYTES
        return job_shape(config, k, inputs, size)
