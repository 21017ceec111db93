# SPDX-License-Identifier: Apache-2.0
"""Products of 16 bits: packed weights, scratch and cost, as in me_conv_s16.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import Operand
from myoedge.operators.products.packing import BLOCK, CHANNELS, packed_channels

WINDOWS = 4  # of a block
ONE_ROW = 9 / 24  # of a block's instructions, a window alone


def arrays(step: QuantizedNode) -> dict[str, Array]:
    """Weights and channels, with zeros up to whole blocks of channels."""
    channels, rows = packed_channels(step), step["weight"].reshape(len(step["weight"]), -1)
    missing = (0, -len(rows) % BLOCK)
    return {
        "weights": packed(np.pad(rows, (missing, (0, rows.shape[1] % 2)))),
        "channels": np.pad(channels, (missing, (0, 0))),
    }


def packed(rows: Array) -> Array:
    """int16 [K, taps], both whole -> for every four channels, for every two taps, a word each."""
    k, taps = rows.shape
    return np.ascontiguousarray(
        rows.reshape(k // BLOCK, BLOCK, taps // 2, 2).swapaxes(1, 2)
    ).ravel()


def weight_operands(stored: dict[str, Array]) -> tuple[Operand, ...]:
    k, size = len(stored["channels"]), stored["weights"].size // len(stored["channels"])
    return (
        Operand("weights", "weights", (k, size), (CHANNELS, ()), itemsize=2),
        Operand("channels", "channels", (k, 16), (CHANNELS, ())),
    )


def row_bytes(taps: int) -> int:
    """me_conv_s16_row_bytes."""
    return 4 * (-(-taps // 2) | 1)


def work(windows: Any, blocks: Any, rows: int, in_row: int, cores: int) -> Any:
    """4 x 4 sums of two taps, of windows of `rows` rows of taps and blocks of four channels, and
    what takes as long: results, windows that are gathered."""
    words, units = -(-rows * in_row // 2), -(-(-(-windows // WINDOWS) * blocks) // cores)
    high = np.minimum(windows, WINDOWS)
    sums = units * (np.where(windows < WINDOWS, windows * ONE_ROW, 1.0) * words + 6 * high)
    return sums + -(-windows * rows // cores) * (0.13 * in_row + 8)
