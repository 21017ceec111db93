# SPDX-License-Identifier: Apache-2.0
"""Products of rows and packed weights, 4 x 4 at a time: scratch and cost, as in me_dense.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.target.gap9_tiles import Prices

WORKERS = 8
PIXELS = 4  # rows of a block


def scratch(taps: int) -> int:
    """me_dense_scratch: what eight cores gather at a time, rows filled to words."""
    row = -(-taps // 4) * 4
    return WORKERS * PIXELS * min(max(512 // row, 1), 4) * (row + 4)


def cycles(prices: Prices, rows: Any, blocks: Any, taps: int, gather: bool) -> Any:
    """Of `rows` times `blocks` of 4 channels over so many taps, on eight cores."""
    words = -(-taps // 4)
    one = prices.dense_word * words + prices.dense_block
    whole, rest = rows // PIXELS, rows % PIXELS
    few = words * (prices.dense_rest_word * rest + prices.dense_rest_words)
    few = few + prices.dense_rest_row * rest + prices.dense_rest
    last = np.where(rest > 0, few, 0)
    row = prices.dense_gather_word * words + prices.dense_gather_row
    patches = rows * row if gather else 0.0
    return (blocks * (whole * one + last) + patches) / WORKERS + one / 2 + prices.dense_call
