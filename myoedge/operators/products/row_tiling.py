# SPDX-License-Identifier: Apache-2.0
"""Rows times weights in tiles of me_linear_s8: linear layers, and convolutions whose every
result is made of one position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel, no_scratch
from myoedge.operators.nine_cores import is_large
from myoedge.operators.products import gemm as dense
from myoedge.operators.products.packing import (
    CHANNELS,
    channel_axes,
    packed_channels,
    packed_weights,
    scale_fields,
    weight_operands,
    with_table,
)
from myoedge.targets.chip import Engine


def rows_in_tiles(step: QuantizedNode, engine: Engine, rows: int, c: int, k: int) -> TiledKernel:
    """Axes row, and k in blocks of channels."""
    gather = c % 4 != 0
    arrays = {
        "weights": packed_weights(step["weight"].reshape(k, c)),
        "channels": packed_channels(step),
    }
    table = with_table(step, arrays)
    cores = engine.cores
    windows = dense.Windows(dense.up(c, 4), copied=gather, rest=c % 4)
    words = windows.words + (dense.TABLE if table else 0)
    x = Operand("x", 0, (rows, c), ((("row", 1),), ()))
    y = Operand("y", OUT, (rows, k), ((("row", 1),), CHANNELS))
    return TiledKernel(
        function="me_linear_s8",
        kernel_waits=True,
        axes={"row": rows, **channel_axes(k)},
        split=("k", "row"),
        operands=(x, *weight_operands(arrays, k), *table, y),
        op={"c": c, **scale_fields(step)},
        tile=_tile,
        arrays=arrays,
        scratch=lambda sizes: dense.scratch(c, cores) if gather else 0,
        work=lambda sizes: (
            dense.block_work(sizes["row"], sizes["k"], words, cores)
            + np.where(sizes["row"] > 1, dense.SEVERAL_ROWS, 0.0)
            + dense.gather_work(sizes["row"], sizes["row"], sizes["k"], windows, cores)
        ),
        nine_cores=engine.control_core,
    )


def rows_in_place(step: QuantizedNode, engine: Engine, rows: int, c: int, k: int) -> TiledKernel:
    """Rows of any length, read where they lie."""

    def tile(regions: Mapping[str, Region]) -> Fields:
        return {name: value for name, value in _tile(regions).items() if name != "scratch"}

    return replace(
        rows_in_tiles(step, engine, rows, c, k),
        function="me_linear_in_place_s8",
        kernel_waits=False,
        tile=tile,
        scratch=no_scratch,
        work=lambda sizes: -(-sizes["row"] * sizes["k"] // engine.cores) * -(-c // 4),
        nine_cores=None,
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


def is_large_product(rows: int, c: int, k: int) -> bool:
    """Whether nine cores share a product: rows that are copied first only eight cores do."""
    return c % 4 == 0 and is_large(rows * c * k)
