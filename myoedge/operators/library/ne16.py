# SPDX-License-Identifier: Apache-2.0
"""Layers on NE16, GAP9's convolution accelerator: its constraints, and products of rows.

Sources: GreenWaves' gap_sdk 4.12 (NE16 register pages) and its platform model;
docs/developers/ne16.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import FREE, OUT, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.library.ne16_jobs import (
    JOB,
    JOB_PIXELS,
    OUTPUTS,
    SUMS,
    WEIGHT_OFFSET,
    bit_planes,
    job_pixels,
    pads_to_nine_pixels,
    parameters,
    pointwise_cycles,
    scale_bytes,
)
from myoedge.operators.library.packing import packed_channels, row_sums, table_operand
from myoedge.operators.library.rows import row_sizes
from myoedge.targets.chip import Engine

ROWS_FORM = 65  # 1x1 jobs of pixels in a row, as in me_ne16_jobs.h
RESTORED_BYTE = 0.12  # cycles of eight cores per byte of x converted back to int8
CHANNEL, SUM = 4.3, 1.2  # cycles of eight cores to requantise: per channel of a job, per sum
LOOK_UP = 0.34  # cycles of eight cores per entry of a table
BESIDE_CORES = 1.12  # factor on the engine's cycles while cores requantise


# --- rows ----------------------------------------------------------------------------------------


def rows_on_ne16(step: QuantizedNode, engine: Engine, *, in_place: bool = False) -> TiledKernel:
    """Return the NE16 kernel of a linear layer with int8 results.

    in_place   as in wide_rows_on_ne16
    """
    rows, c, k = row_sizes(step)
    table, scale = table_operand(step), scale_bytes(step)
    op: Fields = {
        "conv.scale.table": "@table" if table else "0",
        "form": ROWS_FORM,
        "step": c,
        "inputs": c,
        "k": k,
        "scale_bytes": scale,
        "weight_bits": step.weight_bits,
        "parameters": "@parameters",
        "prepare": "me_ne16_prepare_rows",
        "finish": 0,
        "beside": 0,
    }

    def scratch(sizes: Sizes) -> Any:
        if in_place:
            return 0 * sizes["row"]
        # the engine reads a ninth row there, and writes nine results over it
        nine = np.where(pads_to_nine_pixels(sizes["row"], rows), max(JOB_PIXELS * k, c), 0)
        return round_up(sizes["row"] * c, 4) + nine

    kernel = _tile_rows(
        step,
        "me_ne16_jobs",
        op,
        constants=(Operand.whole("parameters", parameters(step)), *table),
        position_stride="" if table else "conv.y_stride",
        tile=partial(_rows_fields, rows, k, in_place=in_place),
        scratch=scratch,
        work=lambda sizes: _linear_tile_cycles(step, sizes, in_place=in_place),
    )
    return replace(kernel, cost=engine.kernels.get("me_ne16_jobs, rows", FREE))


def _rows_fields(rows: int, k: int, regions: Mapping[str, Region], *, in_place: bool) -> Fields:
    """Return the fields of me_ne16_jobs_tile for rows of bytes.

    rows, k   of the layer
    """
    height, width = regions["y"].extent
    at_a_time, first = job_pixels(height), regions["y"].start[1]
    return {
        **{f"conv.{name}": f"@{name}" for name in ("x", "weights", "y")},
        "conv.k": width,
        "conv.y_stride": width,
        "conv.padded": "@x" if in_place else "@scratch",
        "first_k": first,
        "units": height,
        "first_units": at_a_time,
        "units_at_a_time": at_a_time,
        "ninth": int(not in_place and bool(pads_to_nine_pixels(height, rows))),
        "has_scratch": int(first > 0),
        "restores": int(in_place and first + width == k),
    }


def _linear_tile_cycles(step: QuantizedNode, sizes: Sizes, *, in_place: bool) -> Any:
    """Return the cycles of a tile of a linear layer with int8 results."""
    rows, c, k = row_sizes(step)
    pixels = sizes["row"] + pads_to_nine_pixels(sizes["row"], rows)
    engine = pointwise_cycles(pixels, c, sizes["k"], scale_bytes(step))
    each = (LOOK_UP if step.table is not None else 0.0) * sizes["k"]
    restored = _restored_cycles(sizes, c, k) if in_place else 0
    return _pipelined_job_cycles(sizes["row"], engine, lambda n: each * n) + restored


def wide_rows_on_ne16(
    step: QuantizedNode, engine: Engine, *, in_place: bool = False
) -> TiledKernel:
    """Return the NE16 kernel of a linear layer with int16 results, whose sums the cores requantise.

    in_place   whether x is converted to uint8 in its own L1 buffer, and back to int8 after the last
               tile of output channels
    """
    _, c, k = row_sizes(step)
    channels = packed_channels(step)
    channels[:, 0] -= WEIGHT_OFFSET * row_sums(step.integers.weight)
    size = channels[0].nbytes

    def scratch(sizes: Sizes) -> Any:
        sums = 2 * job_pixels(sizes["row"]) * 4 * sizes["k"]
        return sums + (0 if in_place else round_up(sizes["row"] * c, 4))

    def work(sizes: Sizes) -> Any:
        restored = _restored_cycles(sizes, c, k) if in_place else 0
        engine = BESIDE_CORES * pointwise_cycles(sizes["row"], c, sizes["k"], SUMS)
        requantised = _pipelined_job_cycles(
            sizes["row"], engine, lambda n: sizes["k"] * (CHANNEL + SUM * n)
        )
        return requantised + restored

    kernel = _tile_rows(
        step,
        "me_ne16_linear_s8_s16",
        {"c": c, "pre": step.integers.pre, "weight_bits": step.weight_bits},
        constants=(Operand("channels", "channels", (k, size), ((("k", 1),), ()), array=channels),),
        tile=lambda regions: {
            **_tile_fields(regions),
            "channels": "@channels",
            "scratch": "@scratch",
            "in_place": int(in_place),
            "restores": int(in_place and regions["y"].start[1] + regions["y"].extent[1] == k),
        },
        scratch=scratch,
        work=work,
    )
    return replace(
        kernel,
        # sums use two buffers in turn
        launches_next_tile=lambda here, behind: (
            bool(behind["has_scratch"])
            and ceil_div(int(here["rows"]), int(here["rows_at_a_time"])) % 2 == 0
        ),
    )


def _restored_cycles(sizes: Sizes, c: int, k: int) -> Any:
    return RESTORED_BYTE * sizes["row"] * c * sizes["k"] / k


def _tile_rows(
    step: QuantizedNode,
    function: str,
    op: Fields,
    *,
    constants: tuple[Operand, ...],
    position_stride: str = "",
    tile: Callable[[Mapping[str, Region]], Fields],
    scratch: Callable[[Sizes], Any],
    work: Callable[[Sizes], Any],
) -> TiledKernel:
    """Tile over rows and outputs k; rows become pixels of an image with three rows."""
    rows, c, k = row_sizes(step)
    planes = bit_planes(step.integers.weight.reshape(k, c), step.weight_bits)
    size_bytes = step.element_type.size_bytes
    y = Operand("y", OUT, (rows, k), ((("row", 1),), (("k", 1),)), itemsize=size_bytes)
    return TiledKernel(
        function=function,
        axes={"row": rows, "k": k},
        split=("k", "row"),
        innermost_axes=("k",),
        multiples={"k": OUTPUTS, "row": JOB_PIXELS},
        operands=(
            Operand("x", 0, (rows, c), ((("row", 1),), ())),
            Operand("weights", "weights", planes.shape, ((("k", 1),), ()), array=planes),
            *constants,
            replace(y, position_stride=position_stride),
        ),
        op=op,
        tile=tile,
        launches_next_tile=partial(launches_next_tile, c),
        runs_jobs=True,
        scratch=scratch,
        work=work,
        l1_only=True,
    )


def launches_next_tile(c: int, here: Fields, behind: Fields) -> bool:
    """Return whether a tile's first job may start before the previous tile ends.

    It may if its rows are in scratch already, replace rows that no other job reads, or have their
    own place.
    c              bytes of a row
    here, behind   tile fields of the previous tile and of this one
    """
    own_place = behind["has_scratch"] or behind.get("conv.padded") == "@x"
    return bool(own_place) or replaces_unread_rows(c, here, behind)


def replaces_unread_rows(c: int, here: Fields, behind: Fields) -> bool:
    """Return whether the words that the first job of the next tile prepares in scratch, as
    me_ne16_prepare_rows, end before the rows that the last job of this tile reads.

    The arguments are those of launches_next_tile.
    """
    return round_up(first_job_rows(behind) * c, 4) <= last_job_row(here) * c


def first_job_rows(fields: Fields) -> int:
    return min(int(fields["units_at_a_time"]), int(fields["units"]))


def last_job_row(fields: Fields) -> int:
    """Return the first row of a tile's last job, as start_of in me_ne16_layer.c.

    fields   fields of the tile struct
    """
    rows, at_a_time = int(fields["units"]), int(fields["units_at_a_time"])
    last = (rows - 1) // at_a_time * at_a_time
    return last - ((rows - last) % JOB_PIXELS == JOB_PIXELS - 1 and last > 0)


def _pipelined_job_cycles(rows: Any, engine: Any, finished: Callable[[Any], Any]) -> Any:
    """Return the cycles of a tile: during a job, the cores finish the results of the one before and
    prepare the next one.

    engine     cycles of NE16 for all jobs
    finished   rows of a job -> cycles of the cores to finish their results
    """
    at_a_time = job_pixels(rows)
    jobs = ceil_div(rows, at_a_time)
    each, last = engine / jobs, finished(rows - (jobs - 1) * at_a_time)
    return each + (jobs - 1) * np.maximum(each, JOB + finished(at_a_time)) + last


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    rows, k = regions["y"].extent
    return {
        **{name: f"@{name}" for name in ("x", "weights", "y")},
        "rows": rows,
        "rows_at_a_time": job_pixels(rows),
        "k": k,
        "has_scratch": int(regions["y"].start[1] > 0),
    }
