# SPDX-License-Identifier: Apache-2.0
"""Products of two activations on NE16: the cores pack the columns of b and requantise the sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.nest.flat import Loop
from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import Fields, Region, Sizes, TiledKernel
from myoedge.operators.library.ne16_jobs import INPUTS, OUTPUTS, SUMS, image_cycles, run_tiles

TOGETHER, CORES = 4, 8  # columns that a core packs at once; cores
SUM_BYTES = 4
UNSIGNED, PACKED, GATHERED, SUM = 0.1, 0.6, 0.3, 0.8  # cycles of eight cores, per byte or sum
ALONE, TABLE = 9.0, 0.9  # cycles of one core per sum of the last columns; of eight per lookup
BESIDE_CORES = 1.15  # factor on the engine's cycles while cores also access L1
JOB = 1050.0  # extra cycles per job


def is_packed(step: QuantizedNode) -> ConstraintViolation | None:
    """Require operands whose rows are whole 32-bit words, and a right operand with zero point 0.

    -> None, or the violated requirement
    """
    c, zero = step.shapes[0][-1], step.integers.b_zero
    if c % 4:
        return ConstraintViolation("a multiple of 4 products for a result", str(c), "other sizes")
    if zero:
        change = "an operand whose range is symmetric"
        return ConstraintViolation("a right operand with zero point 0", str(zero), change)
    return None


def matmul_on_ne16(tiled: TiledKernel, step: QuantizedNode, loops: Sequence[Loop]) -> TiledKernel:
    """Return the NE16 kernel of a matrix product, derived from the cores' kernel `tiled`.

    loops   loops over batches; a tile covers several iterations of the innermost one
    """
    batches = batch_axes(tiled)
    moves = loops[-1].steps if batches else (0, 0)
    op = {name: x for name, x in tiled.op.items() if name != "b_zero"}
    return replace(
        tiled,
        function="me_ne16_matmul_s8",
        kernel_waits=False,
        split=(*batches[-1:], "k", "m"),
        unit_axes=tuple(batches[:-1]),
        innermost_axes=(),
        multiples={"k": OUTPUTS // 4},
        op=op,
        tile=lambda regions: {**batched_tile(regions, moves), "scratch": "@scratch"},
        scratch=lambda sizes: _tile_scratch_bytes(step, sizes, batches, moves),
        work=lambda sizes: _tile_cycles(step, sizes, batches, bool(op["b_transposed"])),
        nine_cores=None,
        l1_only=True,
    )


def batch_axes(tiled: TiledKernel) -> list[str]:
    """Return the axes of a product that count batches."""
    return [axis for axis in tiled.axes if axis.startswith("b")]


def batched_tile(regions: Mapping[str, Region], moves: Sequence[int]) -> Fields:
    """Return the fields of a tile of several products.

    moves   bytes by which a and b advance per iteration of the innermost loop over batches; 0: all
            iterations read the same operand
    """
    (m, c), (rows, stride) = regions["a"].extent[-2:], regions["b"].extent[-2:]
    return {
        **{name: f"@{name}" for name in ("a", "b", "y")},
        "batches": (1, *regions["y"].extent)[-3],
        "m": m,
        "n": regions["y"].extent[-1],
        "a_step": m * c if moves[0] else 0,
        "b_step": rows * stride if moves[1] else 0,
        "b_stride": stride,
    }


def _products_in_tile(sizes: Sizes, batches: Sequence[str]) -> Any:
    return sizes[batches[-1]] if batches else 1


def _tile_scratch_bytes(
    step: QuantizedNode, sizes: Sizes, batches: Sequence[str], moves: Sequence[int]
) -> Any:
    """Return the scratch bytes; me_ne16_matmul_s8.h defines the layout."""
    c, m = step.shapes[0][-1], sizes["m"]
    rows = (_products_in_tile(sizes, batches) if moves[0] else 1) * m
    column = round_up(c, INPUTS) + SUM_BYTES * (m + 1)
    return rows * c + 2 * OUTPUTS * column + OUTPUTS + CORES * TOGETHER * c


def _tile_cycles(step: QuantizedNode, sizes: Sizes, batches: Sequence[str], turned: bool) -> Any:
    """Estimate the cycles of a tile with jobs of 32 columns.

    During a job, the cores pack the next job's columns and requantise the sums of the job before;
    only the first packing and the last requantisation do not overlap.
    """
    c, m, columns = step.shapes[0][-1], sizes["m"], 4 * sizes["k"]
    count = _products_in_tile(sizes, batches)
    jobs = count * ceil_div(columns, OUTPUTS)
    packed = c * (PACKED + (0 if turned else GATHERED))
    products = BESIDE_CORES * count * image_cycles(run_tiles(m), c, columns, SUMS)
    beside = count * columns * (packed + SUM * m)
    ends = np.minimum(columns, OUTPUTS) * (packed + SUM * m)
    apart = count * m * (columns % TOGETHER * ALONE + (step.table is not None) * columns * TABLE)
    return np.maximum(products, beside) + ends + apart + JOB * jobs + UNSIGNED * count * m * c
