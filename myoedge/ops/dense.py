# SPDX-License-Identifier: Apache-2.0
"""Products of rows and packed weights, 4 x 4 at a time: scratch and cost, as in me_dense.c."""

from __future__ import annotations

from typing import Any

import numpy as np

WORKERS = 8
PIXELS = 4  # rows of a block


def scratch(taps: int) -> int:
    """me_dense_scratch: what eight cores gather at a time, rows filled to words."""
    row = -(-taps // 4) * 4
    return WORKERS * PIXELS * min(max(512 // row, 1), 4) * (row + 4)


def cycles(rows: Any, blocks: Any, taps: int, gather: bool) -> Any:
    """Of `rows` times `blocks` of 4 channels over so many taps, on eight cores."""
    words = -(-taps // 4)
    one = 24.0 * words + 132.0
    whole, rest = rows // PIXELS, rows % PIXELS
    last = np.where(rest > 0, words * (5 * rest + 4) + 28 * rest + 20, 0)
    patches = rows * (3.0 * words + 20) if gather else 0.0
    return (blocks * (whole * one + last) + patches) / WORKERS + one / 2 + 300.0
