# SPDX-License-Identifier: Apache-2.0
"""Linear layers on NE16, GAP9's convolution accelerator: products of rows, and the sums that the
cores requantise.

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
    AffineExpr,
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
BANKS_BYTES = 64  # a word in each bank of L1
BESIDE_CORES = 1.12  # factor on the engine's cycles while cores requantise


def rows_on_ne16(step: QuantizedNode, engine: Engine, *, in_place: bool = False) -> TiledKernel:
    """Return the NE16 kernel of a linear layer; of int16 results the cores requantise the sums.
    Tiles divide rows, which become pixels of an image with three rows, and outputs k.

    in_place   whether x is converted to uint8 in its own L1 buffer, and back to int8 after the last
               tile of output channels
    """
    (rows, c, k), wide = row_sizes(step), step.element_type == INT16
    conv, scale = Conv2dGeometry.of_pixels(rows, c, k), SUMS if wide else scale_bytes(step)
    planes = bit_planes(step.integers.weight.reshape(k, c), step.weight_bits)
    table, of_k = table_operand(step), (("k", 1),)
    constants = (
        channels_of_sums(step, of_k) if wide else Operand.whole("parameters", parameters(step)),
    )
    strided = "" if table or wide else "conv.y_stride"
    y = Operand("y", OUT, (rows, k), ((("row", 1),), of_k), itemsize=step.element_type.size_bytes)
    return TiledKernel(
        function="me_ne16_jobs",
        callbacks=(REQUANTISE,) if wide else (),
        axes={"row": rows, "k": k},
        split=("k", "row"),
        innermost_axes=("k",),
        multiples={"k": OUTPUTS, "row": JOB_PIXELS},
        operands=(
            Operand("x", 0, (rows, c), ((("row", 1),), ())),
            Operand("weights", "weights", planes.shape, (of_k, ()), array=planes),
            *constants,
            *table,
            replace(y, position_stride=strided),
        ),
        op=_rows_op(step, in_place),
        jobs=JobForm(JobSchedule(conv, WINDOWS, scale, bits=step.weight_bits)),
        tile=partial(_rows_fields, step, in_place),
        launches_next_tile=_launches_next_sums if wide else partial(launches_next_tile, c),
        scratch=partial(_rows_scratch_bytes, step, in_place),
        work=partial(_rows_cycles, step, in_place),
        cost=engine.kernels.get("me_ne16_jobs, rows" + ", int16" * wide, FREE),
        l1_only=True,
    )


def channels_of_sums(step: QuantizedNode, outputs: AffineExpr) -> Operand:
    """Return the channels with which the cores requantise sums; their biases are for inputs plus
    128 or 32,768, modulo 2**32."""
    channels, offset = packed_channels(step), -step.read_type(0).low
    biases = channels[:, 0].astype(np.int64) - offset * row_sums(step.integers.weight)
    channels[:, 0] = biases.astype(np.int32)
    return Operand("channels", "channels", (len(channels), 16), (outputs, ()), array=channels)


def _rows_op(step: QuantizedNode, in_place: bool) -> Fields:
    """Return the fields of me_ne16_jobs_params."""
    rows, c, _ = row_sizes(step)
    jobs: Fields = {
        "form": IN_RUN,
        "step": c,
        "inputs": c,
        "prepare": "me_ne16_prepare_rows",
        "beside": 0,
    }
    if step.element_type == INT16:
        sums = of_member("sums", sums_fields(step))
        return {**jobs, **of_member("conv", scale_fields(step)), **sums, "finish": REQUANTISE}
    table = step.table is not None
    finish = "me_ne16_finish_bytes" if table or (rows == JOB_PIXELS - 1 and not in_place) else 0
    return {**jobs, "conv.scale.table": "@table" if table else 0, "finish": finish}


def _rows_scratch_bytes(step: QuantizedNode, in_place: bool, sizes: Sizes) -> Any:
    """Return the scratch bytes of a tile: its rows unless in place, then sums of two jobs, or nine
    rows and results in place of eight."""
    (rows, c, k), n = row_sizes(step), sizes["row"]
    x_bytes = 0 * n if in_place else round_up(n * c, 4)
    if step.element_type == INT16:
        return SUM_BYTES * SUM_BUFFERS * job_pixels(n) * sizes["k"] + x_bytes
    if in_place:
        return x_bytes
    # the engine reads a ninth row there, and writes nine results over it
    return x_bytes + np.where(pads_to_nine_pixels(n, rows), max(JOB_PIXELS * k, c), 0)


def _rows_fields(step: QuantizedNode, in_place: bool, regions: Mapping[str, Region]) -> Fields:
    """Return the fields of me_ne16_jobs_tile for rows of bytes."""
    (rows, c, k), wide = row_sizes(step), step.element_type == INT16
    (height, width), first = regions["y"].extent, regions["y"].start[1]
    at_a_time, nine = job_pixels(height), bool(pads_to_nine_pixels(height, rows))
    sums = f"@scratch+{0 if in_place else round_up(height * c, 4)}"
    return {
        **{f"conv.{name}": f"@{name}" for name in ("x", "weights", "y")},
        "conv.k": width,
        "conv.y_stride": step.element_type.size_bytes * width,
        "conv.padded": "@x" if in_place else "@scratch",
        "first_k": first,
        "units": height,
        "first_units": at_a_time,
        "units_at_a_time": at_a_time,
        "ninth": int(nine and not (in_place or wide)),
        "has_scratch": int(first > 0),
        "restores": int(in_place and first + width == k),
        **({"conv.channels": "@channels", "sums": sums} if wide else {}),
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
        engine += store_waits(pixels, outputs)
        of_job, of_row = 0.0, (LOOK_UP if step.table is not None else 0.0) * outputs
    at_a_time = job_pixels(n)
    jobs = ceil_div(n, at_a_time)
    each, last = engine / jobs, of_job + of_row * (n - (jobs - 1) * at_a_time)
    beside = np.maximum(each, JOB + of_job + of_row * at_a_time)
    restored = RESTORED_BYTE * n * c * outputs / k if in_place else 0
    return each + (jobs - 1) * beside + last + restored


def store_waits(rows: Any, k: Any) -> Any:
    """Return the cycles in which stores of NE16 wait for the banks of earlier ones.

    A store of 32 bytes uses each of its 8 banks for 4 cycles. The next one, a row of results later,
    waits 3 cycles if a row is a multiple of all 16 banks; otherwise every second one waits 2.
    rows, k   number of rows, and bytes of results per row
    """
    each = np.where(k % BANKS_BYTES == 0, 3, 1)
    return ceil_div(rows, JOB_PIXELS) * ceil_div(k, OUTPUTS) * (JOB_PIXELS - 1) * each


def int16_rows_on_ne16(form: Format) -> tuple[Kernel, Kernel]:
    """Return the NE16 kernels of rows times int8 weights with int16 results: with the input
    converted to uint8 in scratch, and in its own buffer.

    form   supported element types
    """
    in_place = partial(rows_on_ne16, in_place=True)
    return (
        sums_on_ne16(rows_on_ne16, form, has_int8_products),
        sums_on_ne16(in_place, form, has_int8_products, is_in_words),
    )


def sums_fields(step: QuantizedNode, halves: int = 1, bits: int = 0) -> Fields:
    """Return the fields of me_ne16_sums.

    halves, bits   outputs of the engine per result, and bits of a weight if there are two
    """
    wide = int(step.element_type == INT16)
    return {"halves": halves, "weight_bits": bits, "y_wide": wide}


def _launches_next_sums(here: Fields, behind: Fields) -> bool:
    """Return whether a tile's first job may start before the cores have requantised all sums of the
    previous tile: those of its last job are in the other buffer.

    here, behind   tile fields of the previous tile and of this one
    """
    jobs = ceil_div(int(here["units"]), int(here["units_at_a_time"]))
    return bool(behind["has_scratch"]) and jobs % SUM_BUFFERS == 0


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
