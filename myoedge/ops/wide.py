# SPDX-License-Identifier: Apache-2.0
"""Rows times packed weights with results of 16 bits, as in me_recurrent.c."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.ir import Array
from myoedge.op import Step
from myoedge.ops.packing import CHANNELS, channel_axes, packed_channels, packed_weights, up
from myoedge.target.gap9_tiles import Prices
from myoedge.tiled import OUT, Fields, Operand, Region, Tiled

BLOCK = 4  # sums of a micro-kernel
WORKERS = 8


def in_blocks(rows: Array) -> Array:
    """int8 [K, C] as `packed_weights`, with rows of zeros up to whole blocks."""
    return packed_weights(np.pad(rows, ((0, -len(rows) % BLOCK), (0, 0))))


def channels_in_blocks(step: Step) -> Array:
    """int32 [K, 4] as `packed_channels`, with zeros up to whole blocks."""
    channels = packed_channels(step)
    return np.pad(channels, ((0, -len(channels) % BLOCK), (0, 0)))


def wide_rows(step: Step, rows: int, c: int, k: int, prices_of: str = "wide") -> Tiled:
    """Axes row, and k in blocks of channels; rows of c bytes lie one behind the other.

    prices_of   what its prices are called: the gates of a step are few rows of many taps
    """
    arrays = {"weights": in_blocks(step["weight"].reshape(k, c))}
    arrays["channels"] = channels_in_blocks(step)
    words, full = up(c) // 4, up(k)
    operands = (
        Operand("x", 0, (rows, c), ((("row", 1),), ())),
        Operand("weights", "weights", (full, up(c)), (CHANNELS, ())),
        Operand("channels", "channels", (full, 16), (CHANNELS, ())),
        Operand("y", OUT, (rows, k), ((("row", 1),), CHANNELS), item=2),
    )
    return Tiled(
        kernel="me_gates",
        axes={"row": rows, **channel_axes(k)},
        split=("k", "row"),
        operands=operands,
        op={"c": c, "pre": step["pre"]},
        tile=_tile,
        arrays=arrays,
        cycles=lambda sizes, prices: (
            -(-(-(-sizes["row"] // BLOCK) * sizes["k"]) // WORKERS)
            * _block(prices, words, prices_of)
            + prices.recurrent_call
        ),
        first=lambda sizes, prices: prices.first_gates,
    )


def _block(prices: Prices, words: int, name: str) -> Any:
    """Of four channels of four rows."""
    return words * getattr(prices, f"{name}_word") + getattr(prices, f"{name}_block")


def _tile(regions: Mapping[str, Region]) -> Fields:
    rows, k = regions["y"].extent
    pointers: dict[str, Any] = {name: f"@{name}" for name in ("x", "weights", "channels", "y")}
    return {**pointers, "rows": rows, "k": k}
