# SPDX-License-Identifier: Apache-2.0
"""Layers on NE16, GAP9's convolution accelerator: its constraints, and products of rows.

Sources: GreenWaves' gap_sdk 4.12 (NE16 register pages) and its platform model;
docs/developers/ne16.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16_form import JobForm
from myoedge.operators.conv.ne16_schedule import WINDOWS, JobSchedule
from myoedge.operators.format import Format
from myoedge.operators.kernel import (
    FREE,
    OUT,
    Fields,
    Kernel,
    Operand,
    Region,
    Sizes,
    TiledKernel,
    of_member,
)
from myoedge.operators.library.ne16_jobs import (
    CHANNEL,
    IN_RUN,
    JOB,
    JOB_PIXELS,
    OUTPUTS,
    SUM,
    SUMS,
    WEIGHT_OFFSET,
    bit_planes,
    job_pixels,
    pads_to_nine_pixels,
    parameters,
    pointwise_cycles,
    scale_bytes,
)
from myoedge.operators.library.ne16_rules import has_int8_products, is_in_words, sums_on_ne16
from myoedge.operators.library.ne16_table import SUM_BYTES
from myoedge.operators.library.packing import packed_channels, row_sums, scale_fields, table_operand
from myoedge.operators.library.rows import row_sizes
from myoedge.targets.chip import Engine

REQUANTISE = "me_ne16_requantise"  # finishes sums
SUM_BUFFERS = 2  # jobs write sums to two buffers in turn
RESTORED_BYTE = 0.12  # cycles of eight cores per byte of x converted back to int8
LOOK_UP = 0.34  # cycles of eight cores per entry of a table
BESIDE_CORES = 1.12  # factor on the engine's cycles while cores requantise


# --- rows ----------------------------------------------------------------------------------------


def rows_on_ne16(step: QuantizedNode, engine: Engine, *, in_place: bool = False) -> TiledKernel:
    """Return the NE16 kernel of a linear layer with int8 results.

    in_place   as in wide_rows_on_ne16
    """
    rows, c, k = row_sizes(step)
    table = table_operand(step)

    def scratch(sizes: Sizes) -> Any:
        if in_place:
            return 0 * sizes["row"]
        # the engine reads a ninth row there, and writes nine results over it
        nine = np.where(pads_to_nine_pixels(sizes["row"], rows), max(JOB_PIXELS * k, c), 0)
        return round_up(sizes["row"] * c, 4) + nine

    kernel = _tile_rows(step, constants=(Operand.whole("parameters", parameters(step)), *table))
    finish = "me_ne16_finish_bytes" if table or (rows == JOB_PIXELS - 1 and not in_place) else 0
    of_layer: Fields = {"conv.scale.table": "@table" if table else 0, "finish": finish}
    return replace(
        kernel,
        operands=(
            *kernel.operands[:-1],
            replace(kernel.out, position_stride="" if table else "conv.y_stride"),
        ),
        op={**kernel.op, **of_layer},
        jobs=_form_of_rows(step, scale_bytes(step)),
        tile=partial(_rows_fields, rows, k, in_place=in_place),
        scratch=scratch,
        work=partial(_rows_cycles, step, in_place),
        cost=engine.kernels.get("me_ne16_jobs, rows", FREE),
    )


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


def _rows_cycles(step: QuantizedNode, in_place: bool, sizes: Sizes) -> Any:
    """Return the cycles of a tile: during a job, the cores finish the results of the one before and
    prepare the next one."""
    (rows, c, k), (n, outputs) = row_sizes(step), (sizes["row"], sizes["k"])
    if step.element_type == INT16:
        engine = BESIDE_CORES * pointwise_cycles(n, c, outputs, SUMS)
        of_job, of_row = CHANNEL * outputs, SUM * outputs
    else:
        pixels = n + pads_to_nine_pixels(n, rows)
        engine = pointwise_cycles(pixels, c, outputs, scale_bytes(step))
        of_job, of_row = 0.0, (LOOK_UP if step.table is not None else 0.0) * outputs
    at_a_time = job_pixels(n)
    jobs = ceil_div(n, at_a_time)
    each, last = engine / jobs, of_job + of_row * (n - (jobs - 1) * at_a_time)
    beside = np.maximum(each, JOB + of_job + of_row * at_a_time)
    restored = RESTORED_BYTE * n * c * outputs / k if in_place else 0
    return each + (jobs - 1) * beside + last + restored


def wide_rows_on_ne16(
    step: QuantizedNode, engine: Engine, *, in_place: bool = False
) -> TiledKernel:
    """Return the NE16 kernel of a linear layer with int16 results, whose sums the cores requantise.

    in_place   whether x is converted to uint8 in its own L1 buffer, and back to int8 after the last
               tile of output channels
    """
    rows, c, k = row_sizes(step)
    channels = packed_channels(step)
    channels[:, 0] -= WEIGHT_OFFSET * row_sums(step.integers.weight)

    def x_bytes(height: Any) -> Any:
        return 0 if in_place else round_up(height * c, 4)

    def tile(regions: Mapping[str, Region]) -> Fields:
        height, width = regions["y"].extent
        return {
            **_rows_fields(rows, k, regions, in_place=in_place),
            "conv.channels": "@channels",
            "conv.y_stride": INT16.size_bytes * width,
            "sums": f"@scratch+{x_bytes(height)}",
            "ninth": 0,
        }

    size = channels[0].nbytes
    constant = Operand("channels", "channels", (k, size), ((("k", 1),), ()), array=channels)
    kernel, sums = _tile_rows(step, constants=(constant,)), SUM_BYTES * SUM_BUFFERS
    of_layer = {**of_member("conv", scale_fields(step)), **of_member("sums", sums_fields(step))}
    return replace(
        kernel,
        callbacks=(REQUANTISE,),
        op={**kernel.op, **of_layer, "finish": REQUANTISE},
        jobs=_form_of_rows(step, SUMS),
        tile=tile,
        launches_next_tile=lambda here, behind: (
            bool(behind["has_scratch"])
            and ceil_div(int(here["units"]), int(here["units_at_a_time"])) % SUM_BUFFERS == 0
        ),
        scratch=lambda sizes: sums * job_pixels(sizes["row"]) * sizes["k"] + x_bytes(sizes["row"]),
        work=partial(_rows_cycles, step, in_place),
        cost=engine.kernels.get("me_ne16_jobs, rows, int16", FREE),
    )


def int16_rows_on_ne16(form: Format) -> tuple[Kernel, Kernel]:
    """Return the NE16 kernels of rows times int8 weights with int16 results: with the input
    converted to uint8 in scratch, and in its own buffer.

    form   supported element types
    """
    in_place = partial(wide_rows_on_ne16, in_place=True)
    return (
        sums_on_ne16(wide_rows_on_ne16, form, has_int8_products),
        sums_on_ne16(in_place, form, has_int8_products, is_in_words),
    )


def sums_fields(step: QuantizedNode, halves: int = 1, bits: int = 0) -> Fields:
    """Return the fields of me_ne16_sums.

    halves, bits   outputs of the engine per result, and bits of a weight if there are two
    """
    wide = int(step.element_type == INT16)
    return {"halves": halves, "weight_bits": bits, "y_wide": wide}


def _tile_rows(step: QuantizedNode, constants: tuple[Operand, ...]) -> TiledKernel:
    """Tile over rows and outputs k; rows become pixels of an image with three rows."""
    rows, c, k = row_sizes(step)
    planes = bit_planes(step.integers.weight.reshape(k, c), step.weight_bits)
    size_bytes = step.element_type.size_bytes
    return TiledKernel(
        function="me_ne16_jobs",
        axes={"row": rows, "k": k},
        split=("k", "row"),
        innermost_axes=("k",),
        multiples={"k": OUTPUTS, "row": JOB_PIXELS},
        operands=(
            Operand("x", 0, (rows, c), ((("row", 1),), ())),
            Operand("weights", "weights", planes.shape, ((("k", 1),), ()), array=planes),
            *constants,
            Operand("y", OUT, (rows, k), ((("row", 1),), (("k", 1),)), itemsize=size_bytes),
        ),
        op={
            "form": IN_RUN,
            "step": c,
            "inputs": c,
            "prepare": "me_ne16_prepare_rows",
            "beside": 0,
        },
        tile=lambda regions: {},
        launches_next_tile=partial(launches_next_tile, c),
        work=lambda sizes: 0,
        l1_only=True,
    )


def _form_of_rows(step: QuantizedNode, scale: int) -> JobForm:
    """Return the jobs of rows, each of which is a window.

    scale   bytes of a multiplier, or SUMS
    """
    rows = Conv2dGeometry.of_pixels(*row_sizes(step))
    return JobForm(JobSchedule(rows, WINDOWS, scale, bits=step.weight_bits))


def launches_next_tile(c: int, here: Fields, behind: Fields) -> bool:
    """Return whether a tile's first job may start before the previous tile ends.

    It may if its rows are in scratch already, replace rows that no other job reads, or have their
    own place.
    c              bytes of a row
    here, behind   tile fields of the previous tile and of this one
    """
    own_place = behind["has_scratch"] or behind["conv.padded"] == "@x"
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
    """Return the first row of a tile's last job, as JobForm.

    fields   fields of the tile struct
    """
    rows, at_a_time = int(fields["units"]), int(fields["units_at_a_time"])
    last = (rows - 1) // at_a_time * at_a_time
    return last - ((rows - last) % JOB_PIXELS == JOB_PIXELS - 1 and last > 0)
