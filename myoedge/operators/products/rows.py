# SPDX-License-Identifier: Apache-2.0
"""Tiling of rows times packed weights, with int8 results (me_linear_s8) or int16 results
(me_linear_s8_s16): linear layers, gates, and convolutions with contiguous windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.core_kernels import is_large
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel
from myoedge.operators.products import gemm as dense
from myoedge.operators.products.packed_weights import stored_bits
from myoedge.operators.products.packing import (
    CHANNELS,
    channel_axes,
    channels_in_blocks,
    packed_channels,
    packed_weights,
    rows_in_blocks,
    scale_fields,
    table_operand,
    weight_operands,
)
from myoedge.targets.chip import Engine

# Products for which C may be generated: alone, 128 x 128 are faster by hand once their weights have
# arrived; with the layers around it in one loop, larger ones are not.
MOST_ALONE, MOST_JOINED = 12_288, 65_536
ODD_WORDS = 3  # a tap after the last whole word takes as long as this many words


def row_sizes(step: QuantizedNode) -> tuple[int, int, int]:
    """Return (number of rows, inputs per row, results per row)."""
    return math.prod(step.out[:-1]), math.prod(step.integers.weight.shape[1:]), step.out[-1]


def is_int8(step: QuantizedNode) -> bool:
    """Return whether weights and results are int8."""
    return step.weight_type != INT16 and step.element_type != INT16


def is_large_product(rows: int, c: int, k: int) -> bool:
    """Return whether a product is large enough for nine cores; rows that are copied first use
    eight.

    rows, c, k   number of rows, inputs and results per row
    """
    return c % 4 == 0 and is_large(rows * c * k)


def is_small_product(step: QuantizedNode) -> bool:
    """Return whether C may be generated for a product alone: it is small, and its weights are bytes
    or 16 bits. Kernels for larger ones share loads among rows, and unpack weights of few bits."""
    return may_join_product(step) and math.prod(row_sizes(step)) <= MOST_ALONE


def may_join_product(step: QuantizedNode) -> bool:
    """Return whether C may be generated for a product with the layers around it."""
    return math.prod(row_sizes(step)) <= MOST_JOINED and stored_bits(step) == INT8.bits


def rows_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a linear layer with int8 results; tiles divide rows and blocks of
    output channels."""
    rows, c, k = row_sizes(step)
    gather, table, cores = c % 4 != 0, table_operand(step), engine.cores
    weights = packed_weights(step.integers.weight.reshape(k, c))
    windows = dense.Windows(ceil_div(c, 4), copied=gather, rest=c % 4)
    words = windows.words + (dense.TABLE if table else 0)
    x = Operand("x", 0, (rows, c), ((("row", 1),), ()))
    y = Operand("y", OUT, (rows, k), ((("row", 1),), CHANNELS))
    return TiledKernel(
        function="me_linear_s8",
        kernel_waits=True,
        axes={"row": rows, **channel_axes(k)},
        split=("k", "row"),
        operands=(x, *weight_operands(weights, packed_channels(step), k), *table, y),
        op={"c": c, **scale_fields(step)},
        tile=_tile,
        scratch=lambda sizes: dense.scratch(c, cores) if gather else 0,
        work=lambda sizes: (
            dense.block_work(sizes["row"], sizes["k"], words, cores)
            + np.where(sizes["row"] > 1, dense.SEVERAL_ROWS, 0.0)
            + dense.gather_work(sizes["row"], sizes["row"], sizes["k"], windows, cores)
        ),
        nine_cores=engine.control_core,
    )


def _tile(regions: Mapping[str, Region]) -> Fields:
    (rows, c), (_, k) = regions["x"].extent, regions["y"].extent
    return {
        "x": "@x",
        "rows": rows,
        "x_stride": c,
        "weights": "@weights",
        "channels": "@channels",
        "y": "@y",
        "k": k,
        "y_stride": k,
        "scratch": "@scratch",
    }


def rows_in_place(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the kernel of a linear layer that reads input rows of any length in place, with
    unaligned loads if necessary."""
    tiled, words = rows_in_tiles(step, engine), -(-row_sizes(step)[1] // 4)
    return replace(
        tiled,
        function="me_linear_in_place_s8",
        kernel_waits=False,
        tile=lambda regions: {k: v for k, v in _tile(regions).items() if k != "scratch"},
        scratch=lambda sizes: 0,
        work=lambda sizes: -(-sizes["row"] * sizes["k"] // engine.cores) * words,
        nine_cores=None,
    )


def wide_rows(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a linear layer with int16 results and contiguous input rows; tiles
    divide rows and blocks of output channels k."""
    rows, c, k = row_sizes(step)
    weights = packed_weights(rows_in_blocks(step.integers.weight.reshape(k, c)))
    channels = channels_in_blocks(step)
    return TiledKernel(
        function="me_linear_s8_s16",
        axes={"row": rows, **channel_axes(k)},
        split=("k", "row"),
        operands=(
            Operand("x", 0, (rows, c), ((("row", 1),), ())),
            *weight_operands(weights, channels, len(channels)),
            Operand("y", OUT, (rows, k), ((("row", 1),), CHANNELS), itemsize=2),
        ),
        op={"c": c, "pre": step.integers.pre},
        tile=_wide_tile,
        work=lambda sizes: _wide_work(sizes["row"], sizes["k"], c, engine.cores),
    )


def _wide_tile(regions: Mapping[str, Region]) -> Fields:
    rows, k = regions["y"].extent
    pointers: dict[str, Any] = {name: f"@{name}" for name in ("x", "weights", "channels", "y")}
    return {**pointers, "rows": rows, "k": k}


def _wide_work(rows: Any, blocks: Any, c: int, cores: int) -> Any:
    """Return the work in words of taps of 4 x 4 sums; leftover rows and rows that are not
    multiples of a word are computed one by one."""
    whole = rows // dense.PIXELS if c % 4 == 0 else 0 * rows
    alone = 0.45 * (c // 4 + ODD_WORDS * (c % 4)) + 4.5
    return (
        -(-whole * blocks // cores) * (c // 4 + 7.5)
        + -(-(rows - dense.PIXELS * whole) * blocks // cores) * alone
    )
