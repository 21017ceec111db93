# SPDX-License-Identifier: Apache-2.0
"""Attention on NE16 whose keys and values are packed once per head; their bit planes stay in L1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.attention.exponentials import kernel_of
from myoedge.operators.attention.ne16 import engine_sizes
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import AffineExpr, Fields, Operand, Region, TiledKernel
from myoedge.operators.products.ne16_constants import INPUTS
from myoedge.operators.products.ne16_cycles import JOB_PIXELS, SUMS, image_cycles

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
    part_rows = _part_rows(numbers)
    axes = {"step": _packings(numbers) + RESULTS - 1 + ceil_div(numbers["rows"], part_rows)}
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
        operands=tuple(_in_steps(operand, numbers) for operand in tiled.operands),
        tile=lambda regions: _tile(regions, numbers),
        scratch=lambda sizes: _scratch(numbers),
        work=lambda sizes: sizes["step"] * _head_cycles(numbers) / axes["step"],
        nine_cores=True,
        l1_only=True,
    )


def _part_rows(numbers: Mapping[str, int]) -> int:
    """Return the rows of scores per NE16 job: one or two for each of nine cores."""
    return JOB_PIXELS * (2 if numbers["keys"] <= FEW_KEYS else 1)


def _packings(numbers: Mapping[str, int]) -> int:
    """Return the number of pipeline steps that pack keys."""
    return ceil_div(numbers["keys"], INPUTS)


def _in_steps(operand: Operand, numbers: Mapping[str, int]) -> Operand:
    """Return an operand whose rows or keys are indexed by the pipeline step."""
    of_row, of_key = (("row", 1),), (("keys", 4), ("lane", 1))
    n = _part_rows(numbers)
    later = {"bias": EXPONENTIALS, "mask": EXPONENTIALS, "y": RESULTS}.get(operand.name, 0)
    along: dict[AffineExpr, AffineExpr] = {
        of_row: (("step", n), ("row", 1)),
        of_key: (("step", INPUTS), ("key", 1)),
    }
    steps = _packings(numbers) - 1 + later
    first = tuple(-n * steps if dim == of_row else 0 for dim in operand.dims)
    return replace(operand, dims=tuple(along.get(d, d) for d in operand.dims), first=first)


def _tile(regions: Mapping[str, Region], numbers: Mapping[str, int]) -> Fields:
    names = ("q", "k", "v", "bias", "mask", "y", "scratch")
    n, k, y = _part_rows(numbers), regions["k"], regions["y"]
    first = (y.start[1] - y.before[1]) // n + _packings(numbers) - 1 + RESULTS
    end = (k.start[1] + k.extent[1] + k.after[1]) // INPUTS
    steps = {"first": first, "end": end, "rows": numbers["rows"], "part_rows": n}
    return {**{name: f"@{name}" for name in names}, **steps}


def _scratch(numbers: Mapping[str, int]) -> int:
    """Return the scratch bytes, laid out in me_ne16_attention_resident_s8.h."""
    keys, width, columns = (numbers[name] for name in ("keys", "width", "out_width"))
    filled, fine = round_up(keys, 4), numbers["fine"]
    row = 4 * (filled + columns) + fine * (filled + 4 * columns) + 8 + width
    planes = keys * round_up(width, INPUTS) + columns * round_up(filled, INPUTS)
    return 2 * _part_rows(numbers) * row + 5 * filled + 4 + (0 if fine else TABLES) + planes


def _head_cycles(numbers: Mapping[str, int]) -> Any:
    """Return the cycles of one head: packing, then products of one part of the rows during the
    exponentials of another, then results."""
    rows, keys, width, columns = (numbers[n] for n in ("rows", "keys", "width", "out_width"))
    tiles = _part_rows(numbers) // JOB_PIXELS
    products = image_cycles(tiles, width, keys, SUMS) + image_cycles(tiles, keys, columns, SUMS)
    products += tiles * (STORED * (keys + columns) + CONFLICTS * keys)
    cores = tiles * (ROW + EXPONENTIAL * keys + RESULT * columns) + JOBS
    if numbers["fine"]:  # values run twice, the first time while the cores wait
        again = image_cycles(tiles, keys, columns, SUMS) + tiles * STORED * columns
        products += again + tiles * CONFLICTS * keys
        cores += again + tiles * (OF_12_BITS * keys + JOINED * columns)
    parts = ceil_div(rows, _part_rows(numbers))
    packed = PACKED_BYTE * keys * (round_up(width, INPUTS) + round_up(columns, INPUTS))
    return HEAD + packed + parts * np.maximum(products, cores) + products + cores
