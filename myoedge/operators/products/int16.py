# SPDX-License-Identifier: Apache-2.0
"""Rows times packed weights with results of 16 bits, as in me_recurrent.c."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, WORKERS, Fields, Operand, Region, Tiled
from myoedge.operators.products.packing import (
    CHANNELS,
    channel_axes,
    packed_channels,
    packed_weights,
    up,
)
from myoedge.targets.gap9.costs import Prices

BLOCK = 4  # sums of a micro-kernel
ODD_WORDS = 3  # a tap behind the last whole word takes as long as so many words


def in_blocks(rows: Array) -> Array:
    """int8 [K, C] as `packed_weights`, with rows of zeros up to whole blocks."""
    return packed_weights(np.pad(rows, ((0, -len(rows) % BLOCK), (0, 0))))


def channels_in_blocks(step: QuantizedNode) -> Array:
    """int32 [K, 4] as `packed_channels`, with zeros up to whole blocks."""
    channels = packed_channels(step)
    return np.pad(channels, ((0, -len(channels) % BLOCK), (0, 0)))


def wide_rows(step: QuantizedNode, rows: int, c: int, k: int) -> Tiled:
    """Axes row, and k in blocks of channels; rows of c bytes lie one behind the other."""
    arrays = {"weights": in_blocks(step["weight"].reshape(k, c))}
    arrays["channels"] = channels_in_blocks(step)
    full = up(k)
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
        cycles=lambda sizes, prices: _cycles(prices, sizes["row"], sizes["k"], c),
        code=lambda _: ("me_gates_run", "me_gates_4x4", "me_four_sums"),
    )


def _cycles(prices: Prices, rows: Any, blocks: Any, c: int) -> Any:
    """Four rows at a time where they are whole words; the others one by one."""
    whole = rows // BLOCK if c % BLOCK == 0 else 0 * rows
    rest = rows - BLOCK * whole
    in_block = c // BLOCK * prices.wide_word + prices.wide_block
    words = c // BLOCK + ODD_WORDS * (c % BLOCK)
    in_row = words * prices.wide_row_word + prices.wide_row
    block = _share(whole * blocks) * in_block + _share(rest * blocks) * in_row
    return block + prices.wide_call


def _share(count: Any) -> Any:
    return -(-count // WORKERS)


def _tile(regions: Mapping[str, Region]) -> Fields:
    rows, k = regions["y"].extent
    pointers: dict[str, Any] = {name: f"@{name}" for name in ("x", "weights", "channels", "y")}
    return {**pointers, "rows": rows, "k": k}
