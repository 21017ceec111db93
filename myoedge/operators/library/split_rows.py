# SPDX-License-Identifier: Apache-2.0
"""Tiling of rows of int16 times weights of at most 8 bits (me_linear_s16): the bytes of values are
multiplied as those of int8 rows are, so that weights have one layout beside int8 and int16."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import TiledKernel
from myoedge.operators.library.packing import scale_fields, table_operand
from myoedge.operators.library.rows import row_sizes, stride, wide_rows
from myoedge.targets.chip import Engine

# In words of taps of blocks of two rows and four channels: words of a single row's blocks, and of
# one channel; stored results of a block; a copied word.
ONE_ROW, ONE_CHANNEL, STORED, COPIED = 14 / 24, 5 / 24, 6.5, 0.4
FEW_BLOCKS = 4  # of a single row, up to which cores share its channels


def split_rows(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a linear layer of int16 with weights of at most 8 bits, which are
    stored as those of `wide_rows`."""
    tiled, c = wide_rows(step, engine), row_sizes(step)[1]
    return replace(
        tiled,
        function="me_linear_s16",
        operands=(*tiled.operands[:-1], *table_operand(step), tiled.operands[-1]),
        op={"c": c, **step.wide_flags("x", "y"), **scale_fields(step)},
        tile=lambda regions: {**tiled.tile(regions), "scratch": "@scratch"},
        scratch=lambda sizes: sizes["row"] * 2 * stride(c),  # me_linear_s16_row_bytes
        work=lambda sizes: _work(sizes["row"], sizes["k"], ceil_div(c, 4), engine.cores),
    )


def _work(rows: Any, blocks: Any, words: int, cores: int) -> Any:
    """Return the work of the busiest core, in words of taps of blocks of two rows."""
    pairs = ceil_div(ceil_div(rows, 2) * blocks, cores) * (words + STORED)
    alone = ceil_div(blocks, cores) * (ONE_ROW * words + STORED / 2)
    few = ceil_div(4 * blocks, cores) * ONE_CHANNEL * words
    copied = ceil_div(rows * words, cores) * COPIED
    return np.where(rows > 1, pairs + copied, np.where(blocks <= FEW_BLOCKS, few, alone))
