# SPDX-License-Identifier: Apache-2.0
"""NE16's jobs of layers whose results it requantises, and of rows of sums, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.kernel import Fields
from myoedge.operators.library.ne16_copies import CopiedOperands
from myoedge.operators.library.ne16_jobs import JOB_PIXELS, OUTPUTS, POINTWISE_MODE, SIDE
from myoedge.operators.library.ne16_parts import WindowParts
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
    """The jobs of a layer whose results NE16 requantises, or of sums.

    mode          FILTER_MODE, DEPTHWISE_MODE or POINTWISE_MODE
    weight_bits   bits of a weight
    scale_bytes   bytes of a multiplier; SUMS if results are sums
    outputs       outputs of the whole layer
    inputs        inputs of a pixel
    groups        groups of inputs and outputs, each of which has jobs of its own
    step          bytes between the operands of neighbouring results
    row_bytes     of jobs of rows: bytes of a row of operands with one result, and more for each
                  other one
    down          rows of operands between neighbouring rows of results
    in_run        whether units are results in a row; 3x3 jobs treat them as rows of three
    turned        whether rows of the convolution are columns of x and y
    phases        distance of the rows and of the columns that a job computes
    operands      copies that may prepare them; None: a C function does it
    parts         parts of the products of a result, whose sums are added; None: a job has all
    """

    mode: int
    weight_bits: int
    scale_bytes: int
    outputs: int
    inputs: int
    step: int
    row_bytes: tuple[int, int] = (0, 0)
    down: int = 1
    in_run: bool = True
    turned: bool = False
    phases: tuple[int, int] = (1, 1)
    operands: CopiedOperands | None = None
    groups: int = 1
    parts: WindowParts | None = None

    def tile_fields(self, tile: Fields) -> Fields:
        """Return the fields of me_ne16_jobs_tile: those given without FACTS, the addresses of the
        jobs, and the size of a unit."""
        first_k, scales = int(tile["first_k"]), 4 * self.outputs
        shifts = scales + self.scale_bytes * self.outputs
        parameters: Fields = {
            "at.scales": f"@parameters+{scales + self.scale_bytes * first_k}",
            "at.shifts": f"@parameters+{shifts + first_k}",
            "at.biases": f"@parameters+{4 * first_k}",
        }
        results = 1 if self._is_run(tile) else int(tile["conv.ow"])
        operands = int(round_up(int(tile["units"]) * self.step, 4))
        ninth = f"@scratch+{operands + JOB_PIXELS * first_k}"
        of_part = self._part_bytes(tile, int(tile["first_part"])) if self.parts else 0
        return {
            "at.weights": tile["conv.weights"],
            "at.x": f"{tile['conv.padded']}+{of_part}" if of_part else tile["conv.padded"],
            "at.y": ninth if tile["ninth"] else tile["conv.y" if self.scale_bytes else "sums"],
            **(parameters if self.scale_bytes else {"unit_results": results}),
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
        is_pixels = is_run and self.mode == POINTWISE_MODE and self.parts is None
        if is_pixels and start > 0 and (end - start) % JOB_PIXELS == JOB_PIXELS - 1:
            first -= 1  # of 9 n + 8 pixels, 3x3 tiles are two more than of 9 n; of 9 n + 9, one
        at = first
        if is_pixels and not self.scale_bytes:  # sums of jobs alternate between two buffers
            at = number % 2 * int(tile["units_at_a_time"])
        return JobRange(
            *self._first_units(tile, first, start),
            tuple(self._jobs(tile, end - first)),
            first * (self.step if is_run else self._row_step(tile)),
            at * self._unit_bytes(tile),
            self.operands.of_units(tile, start, end) if self.operands else (),
        )

    def _first_units(self, tile: Fields, first: int, prepared: int) -> tuple[int, int]:
        """Return the first unit of a range that is complete after its jobs, and the first whose
        operands are prepared. Units are complete with their last part; a run of windows of several
        rows is prepared at once."""
        if self.parts is None:
            return first, prepared
        is_last = int(tile["first_part"]) + int(tile["parts"]) == self.parts.count
        return is_last * first, min(prepared, 1) if self._is_run(tile) else prepared

    def _jobs(self, tile: Fields, units: int) -> Iterator[PlacedJob]:
        """Yield the jobs of some units: for each part of their products, the outputs of each group
        or 32 at a time, in each phase."""
        pixels, size = [*self._pixels(tile, units)], 1 if self.scale_bytes else SUM_BYTES
        steps = self._weight_steps(tile)
        for x, weights, inputs, added in self._inputs(tile):
            for start, k, group in self._outputs(tile):
                for extent, of_pixels, x_from, y_from in pixels:
                    shape = replace(self._shape(k, inputs, extent, added), **of_pixels, **steps)
                    yield PlacedJob(
                        shape,
                        x_from + x + group * self.inputs,
                        y_from + start * size,
                        start * shape.weight_channel + weights,
                        start if self.scale_bytes else 0,
                    )

    def _inputs(self, tile: Fields) -> Iterator[tuple[int, int, int, int]]:
        """Yield the inputs of jobs: (bytes to their operands and to their weights, inputs in bytes,
        what is added to `config`)."""
        if self.parts is None:
            yield 0, 0, self.inputs, 0
            return
        first, count = int(tile["first_part"]), int(tile["parts"])
        begin, part_bytes = self._part_bytes(tile, first), self.weight_bits * self.parts.plane_bytes
        for part, inputs in self.parts.of_runs(first, count):
            x, weights = self._part_bytes(tile, part) - begin, (part - first) * part_bytes
            yield x, weights, inputs, STREAM_IN if part else 0

    def _outputs(self, tile: Fields) -> Iterator[tuple[int, int, int]]:
        """Yield the outputs of jobs: (first one in the tile, number, group): of each group that has
        outputs in a tile, or of parts that lie apart, 32 at a time."""
        first, k, each = int(tile["first_k"]), int(tile["conv.k"]), self.outputs // self.groups
        if self.parts:
            k *= self.parts.halves
            at_once = self.parts.at_once and tile["parts"] == self.parts.count
            for start in range(0, k, k if at_once else OUTPUTS):
                yield start, min(k - start, k if at_once else OUTPUTS), 0
            return
        for group in range(first // each, ceil_div(first + k, each)):
            start = max(group * each - first, 0)
            yield start, min((group + 1) * each - first, k) - start, group

    def _pixels(
        self, tile: Fields, units: int
    ) -> Iterator[tuple[tuple[int, int], dict[str, int], int, int]]:
        """Yield the pixels of jobs: (rows and columns of results, steps, bytes to operands and
        results)."""
        if self._is_run(tile) and self.mode == POINTWISE_MODE:
            yield (*self._run_pixels(tile, units), 0, 0)
        else:
            yield from self._image_pixels(tile, units)

    def _run_pixels(self, tile: Fields, n: int) -> tuple[tuple[int, int], dict[str, int]]:
        """Return the pixels of n results in a row: three runs. If n is no multiple of 3, they
        overlap; sums that jobs add to may not: there are one or two too many."""
        y_step = self._unit_bytes(tile)
        if tile["ninth"]:
            n, y_step = JOB_PIXELS, int(tile["conv.k"])
        run = ceil_div(n, SIDE)
        run += 0 if self.parts else (n - run) % 2
        apart = run if self.parts else (n - run) // 2
        steps = {"x_pixel": self.step, "x_row": apart * self.step}
        return (SIDE, run), {**steps, "y_pixel": y_step, "y_row": apart * y_step}

    def _image_pixels(
        self, tile: Fields, units: int
    ) -> Iterator[tuple[tuple[int, int], dict[str, int], int, int]]:
        """Yield the pixels of each phase of rows of results, or of results of a row: of the latter
        a job may write one or two too many, which a later job overwrites."""
        down, across = self.phases
        columns = units if self.in_run else int(tile["conv.ow"])
        x_row, unit_bytes = self._row_step(tile), self._unit_bytes(tile)
        y_pixel = self._result_bytes(tile)
        for row in range(1 if self.in_run else min(down, units)):
            for column in range(min(across, columns)):
                of_phase = ceil_div(columns - column, across)
                size = (ceil_div(units - row, down), of_phase)
                if self.in_run:
                    size = (ceil_div(of_phase, SIDE), min(of_phase, SIDE))
                steps = {
                    "x_pixel": across * self.step,
                    "y_pixel": across * y_pixel,
                    "x_row": SIDE * across * self.step if self.in_run else down * x_row,
                    "y_row": SIDE * across * y_pixel if self.in_run else down * unit_bytes,
                }
                y = row * unit_bytes + column * y_pixel
                yield size, steps, row * x_row + column * self.step, y

    def _is_run(self, tile: Fields) -> bool:
        """Return whether units are results in a row; so are those of parts, if there is one row."""
        return self.in_run or (
            self.parts is not None and bool(self.parts.is_run(int(tile["conv.oh"])))
        )

    def _row_bytes(self, tile: Fields) -> int:
        one, more = self.row_bytes
        return one + (int(tile["conv.ow"]) - 1) * more

    def _row_step(self, tile: Fields) -> int:
        """Return the bytes between the operands of neighbouring units of an image."""
        return self.step if self.in_run else self.down * self._row_bytes(tile)

    def _part_bytes(self, tile: Fields, part: int) -> int:
        assert self.parts is not None, "a layer without parts"
        return self.parts.offset_bytes(part, self._row_bytes(tile))

    def _result_bytes(self, tile: Fields) -> int:
        if self.scale_bytes:
            return int(tile["conv.y_stride"])
        return SUM_BYTES * int(tile["conv.k"]) * (self.parts.halves if self.parts else 1)

    def _unit_bytes(self, tile: Fields) -> int:
        if self.turned:
            return int(tile["y_row"])
        return self._result_bytes(tile) * (1 if self._is_run(tile) else int(tile["conv.ow"]))

    def _weight_steps(self, tile: Fields) -> dict[str, int]:
        """Return the steps of weights, if a job has not all of an output."""
        if self.parts is None:
            return {}
        of_output = int(tile["parts"]) * self.weight_bits * self.parts.plane_bytes
        return {"weight_plane": 18 // self.parts.size, "weight_channel": of_output}

    def _shape(self, k: int, inputs: int, size: tuple[int, int], added: int) -> Shape:
        """Return the shape of a job for rows x columns results, without steps."""
        config = self.mode | self.weight_bits - 1 | SIGNED | added
        config |= INT32 if not self.scale_bytes else NORMALISE | SHIFTS | BIAS
        config |= WIDE_INPUT * (self.parts.size - 1) if self.parts else 0
        config |= self.scale_bytes // 2 << SCALE_BYTES
        return job_shape(config, k, inputs, size)
