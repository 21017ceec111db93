# SPDX-License-Identifier: Apache-2.0
"""What it takes to pack the right operand of a matrix product, as me_dense.c shares it."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.operators.kernel import WORKERS
from myoedge.operators.products.gemm import Work, has_rest, up
from myoedge.targets.gap9.costs import Prices

# Instructions: for a word of taps of four columns; of one column where there are fewer; for its
# last taps where they are no word.
ROW_WORD, COLUMN_WORD, ODD_WORD, ODD_TAPS = 12, 22, 16, 40


def packing(prices: Prices, w: Work, blocks: Any, taps: int, turned: bool) -> Any:
    """Of b in a matrix product, four columns and up to four parts of them at a time, by the core
    that also has the last of them, which may be fewer."""
    parts = parts_of(blocks)
    share = up(parts * blocks, WORKERS)
    odd = np.minimum(has_rest(w, blocks) * parts, share)
    whole = (share - odd) * (ROW_WORD if turned else COLUMN_WORD)
    words = (whole + odd * (w.channels % 4) * ODD_WORD) * (taps // 4) / parts
    last = (taps % 4 > 0) * np.where(odd > 0, w.channels % 4, 4) * up(share, parts) * ODD_TAPS
    return (words + last) * prices.matmul_word + share * prices.matmul_block


def parts_of(blocks: Any) -> Any:
    """cut_of in me_dense.c: of their taps, so that eight cores have equally much to do."""
    whole, halves, quarters = 4 * up(blocks, 8), 2 * up(2 * blocks, 8), up(4 * blocks, 8)
    every = (whole <= halves) & (whole <= quarters)
    return np.where(every, 1, np.where(halves <= quarters, 2, 4))
