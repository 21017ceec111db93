# SPDX-License-Identifier: Apache-2.0
"""Attention with both matrix products on NE16; the cores pack keys and values into bit planes.

Each tile of rows packs the keys again, block by block. If all bit planes fit in L1, keys and values
are packed once per head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.numerics.element_type import INT8
from myoedge.operators.attention import wide
from myoedge.operators.attention.operands import is_fine, kernel_of, row_bytes, sizes_of
from myoedge.operators.base import QuantizedNode
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.library.ne16_jobs import (
    INPUTS,
    JOB_PIXELS,
    OUTPUTS,
    SUMS,
    image_cycles,
    pointwise_cycles,
)

ROWS = 12  # scratch has a multiple of this many rows, as in me_ne16_attention_s8.c
# Cycles of eight cores per byte, exponential and row, if bit planes do not all fit
PART_BYTE, PART_EXPONENTIAL, PART_ROW = 1.3, 1.6, 40.0
PART_OF_12_BITS = 1.25  # cycles of a 12-bit exponential, relative to an 8-bit one
START = 1450.0  # cycles to start a tile's scores or values: code, and the first job's operands
CORES = 8
BESIDE_CORES = 1.45  # factor on the engine's cycles while cores also access L1


def sees_all_keys(step: QuantizedNode) -> ConstraintViolation | None:
    if wide.is_wide(step) or step.element_type != INT8:
        return ConstraintViolation(
            "int8 operands and results", "16 bits", "int8 operands and results around it"
        )
    if step.attrs["window"] is None:
        return None
    return ConstraintViolation(
        "attention to all keys", "a window of keys", "attention without a window"
    )


def on_ne16(tiled: TiledKernel, step: QuantizedNode) -> TiledKernel:
    """Return the NE16 kernel of attention, derived from the cores' kernel `tiled`: NE16 computes
    both matrix products, the cores the exponentials."""
    numbers = engine_sizes(step)
    return replace(
        tiled,
        function=kernel_of(step, "me_ne16_attention"),
        split=("row", "keys"),
        unit_axes=("b", "h"),
        multiples={"row": ROWS, "keys": OUTPUTS // 4},
        scratch=lambda sizes: _tile_scratch_bytes(sizes, numbers),
        work=lambda sizes: _tile_cycles(sizes, numbers),
        nine_cores=None,
        l1_only=True,
    )


def engine_sizes(step: QuantizedNode) -> dict[str, int]:
    """Return the sizes of an attention layer, by field name of the NE16 kernel's C struct; "fine"
    is 1 for 12-bit exponentials."""
    return {**sizes_of(step), "fine": int(is_fine(step))}


def _tile_scratch_bytes(sizes: Sizes, numbers: Mapping[str, int]) -> Any:
    """Return the scratch bytes of a tile, laid out in me_ne16_attention_s8.h."""
    keys, width, columns = (numbers[name] for name in ("keys", "width", "out_width"))
    part, row = 4 * sizes["keys"], row_bytes(keys, columns, is_fine=bool(numbers["fine"])) + 8
    planes = np.maximum(part * round_up(width, INPUTS), columns * round_up(part, INPUTS))
    return round_up(sizes["row"], ROWS) * row + OUTPUTS + sizes["row"] * width + 4 * part + planes


def _tile_cycles(sizes: Sizes, numbers: Mapping[str, int]) -> Any:
    """Return the cycles for one part of the keys and values: products on NE16 while the cores pack,
    then exponentials. A tile of a part has either scores or values."""
    keys, width, columns = (numbers[name] for name in ("keys", "width", "out_width"))
    rows, part = sizes["row"], sizes["keys"] / (round_up(keys, 4) // 2)
    products = pointwise_cycles(rows, width, keys, SUMS)
    products += pointwise_cycles(rows, keys, columns, SUMS) * (1 + numbers["fine"])
    packed = PART_BYTE * keys * (width + columns)
    exponential = PART_EXPONENTIAL * (PART_OF_12_BITS if numbers["fine"] else 1.0)
    cores = round_up(rows, CORES) * (PART_ROW + exponential * keys)
    starts = START * np.where(part < 1, 1, 2)
    return starts + part * (np.maximum(BESIDE_CORES * products, packed) + cores)


# Steps after the one that reads a part of q; me_ne16_attention_resident_s8.h
EXPONENTIALS, RESULTS = 2, 4
TABLES = 9 * 516  # bytes: one copy of the table of exponentials per core
FEW_KEYS = 128  # up to this many keys, a part of the rows is two of NE16's tiles
HEAD = 250.0  # cycles of the loop around the parts of a head
PACKED_BYTE = 0.54  # cycles of nine cores, for rows padded to whole groups of inputs
EXPONENTIAL, RESULT, ROW, JOBS = 11.5, 2.2, 514.0, 291.0  # cycles of a core each; JOBS per part
OF_12_BITS, JOINED = 2.0, 5.0  # extra cycles of a 12-bit exponential, and of joining two sums
STORED, CONFLICTS = 1.5, 3.0  # cycles of NE16 per 3x3 block: a column of sums; conflicts per key


def resident_on_ne16(tiled: TiledKernel, step: QuantizedNode) -> TiledKernel:
    """Return the NE16 kernel of attention as a software pipeline, derived from the cores' kernel
    `tiled`.

    Its first iterations pack keys and values. Each later iteration computes a block of rows and
    stores the results of an earlier block.
    """
    numbers = engine_sizes(step)
    part_rows = _rows_per_job(numbers)
    axes = {"step": _packing_steps(numbers) + RESULTS - 1 + ceil_div(numbers["rows"], part_rows)}
    return replace(
        tiled,
        function=kernel_of(step, "me_ne16_attention_resident"),
        axes={
            "b": numbers["batch"],
            "h": numbers["heads"],
            **axes,
            "key": INPUTS,
            "row": part_rows,
        },
        split=("step",),
        unit_axes=("b", "h"),
        innermost_axes=("step",),
        multiples={},
        operands=tuple(_index_by_step(operand, numbers) for operand in tiled.operands),
        tile=lambda regions: _tile_fields(regions, numbers),
        scratch=lambda sizes: _resident_scratch_bytes(numbers),
        work=lambda sizes: sizes["step"] * _head_cycles(numbers) / axes["step"],
        nine_cores=True,
        l1_only=True,
    )


def _rows_per_job(numbers: Mapping[str, int]) -> int:
    """Return the rows of scores per NE16 job: one or two for each of nine cores."""
    return JOB_PIXELS * (2 if numbers["keys"] <= FEW_KEYS else 1)


def _packing_steps(numbers: Mapping[str, int]) -> int:
    """Return the number of pipeline steps that pack keys."""
    return ceil_div(numbers["keys"], INPUTS)


def _index_by_step(operand: Operand, numbers: Mapping[str, int]) -> Operand:
    """Return an operand whose rows or keys are indexed by the pipeline step."""
    of_row, of_key = (("row", 1),), (("keys", 4), ("lane", 1))
    n = _rows_per_job(numbers)
    later = {"bias": EXPONENTIALS, "mask": EXPONENTIALS, "y": RESULTS}.get(operand.name, 0)
    along: dict[AffineExpr, AffineExpr] = {
        of_row: (("step", n), ("row", 1)),
        of_key: (("step", INPUTS), ("key", 1)),
    }
    steps = _packing_steps(numbers) - 1 + later
    first = tuple(-n * steps if dim == of_row else 0 for dim in operand.dims)
    return replace(operand, dims=tuple(along.get(d, d) for d in operand.dims), first=first)


def _tile_fields(regions: Mapping[str, Region], numbers: Mapping[str, int]) -> Fields:
    names = ("q", "k", "v", "bias", "mask", "y", "scratch")
    n, k, y = _rows_per_job(numbers), regions["k"], regions["y"]
    first = (y.start[1] - y.before[1]) // n + _packing_steps(numbers) - 1 + RESULTS
    end = (k.start[1] + k.extent[1] + k.after[1]) // INPUTS
    steps = {"first": first, "end": end, "rows": numbers["rows"], "part_rows": n}
    return {**{name: f"@{name}" for name in names}, **steps}


def _resident_scratch_bytes(numbers: Mapping[str, int]) -> int:
    """Return the scratch bytes, laid out in me_ne16_attention_resident_s8.h."""
    keys, width, columns = (numbers[name] for name in ("keys", "width", "out_width"))
    filled, fine = round_up(keys, 4), numbers["fine"]
    row = 4 * (filled + columns) + fine * (filled + 4 * columns) + 8 + width
    planes = keys * round_up(width, INPUTS) + columns * round_up(filled, INPUTS)
    return 2 * _rows_per_job(numbers) * row + 5 * filled + 4 + (0 if fine else TABLES) + planes


def _head_cycles(numbers: Mapping[str, int]) -> Any:
    """Return the cycles of one head: packing, then products of one part of the rows during the
    exponentials of another, then results."""
    rows, keys, width, columns = (numbers[n] for n in ("rows", "keys", "width", "out_width"))
    tiles = _rows_per_job(numbers) // JOB_PIXELS
    products = image_cycles(tiles, width, keys, SUMS) + image_cycles(tiles, keys, columns, SUMS)
    products += tiles * (STORED * (keys + columns) + CONFLICTS * keys)
    cores = tiles * (ROW + EXPONENTIAL * keys + RESULT * columns) + JOBS
    if numbers["fine"]:  # values run twice, the first time while the cores wait
        again = image_cycles(tiles, keys, columns, SUMS) + tiles * STORED * columns
        products += again + tiles * CONFLICTS * keys
        cores += again + tiles * (OF_12_BITS * keys + JOINED * columns)
    parts = ceil_div(rows, _rows_per_job(numbers))
    packed = PACKED_BYTE * keys * (round_up(width, INPUTS) + round_up(columns, INPUTS))
    return HEAD + packed + parts * np.maximum(products, cores) + products + cores
