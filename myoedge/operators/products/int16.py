# SPDX-License-Identifier: Apache-2.0
"""Rows times packed weights with results of 16 bits, as in me_linear_s8_s16.c."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel
from myoedge.operators.products.packing import (
    CHANNELS,
    channel_axes,
    packed_channels,
    packed_weights,
    up,
)
from myoedge.targets.chip import Engine

BLOCK = 4  # sums of a micro-kernel
ODD_WORDS = 3  # a tap behind the last whole word takes as long as so many words


def in_blocks(rows: Array) -> Array:
    """int8 [K, C] as `packed_weights`, with rows of zeros up to whole blocks."""
    return packed_weights(np.pad(rows, ((0, -len(rows) % BLOCK), (0, 0))))


def channels_in_blocks(step: QuantizedNode) -> Array:
    """int32 [K, 4] as `packed_channels`, with zeros up to whole blocks."""
    channels = packed_channels(step)
    return np.pad(channels, ((0, -len(channels) % BLOCK), (0, 0)))


def wide_rows(step: QuantizedNode, engine: Engine, rows: int, c: int, k: int) -> TiledKernel:
    """Axes row, and k in blocks of channels; rows of c bytes lie one behind the other."""
    arrays = {"weights": in_blocks(step["weight"].reshape(k, c))}
    arrays["channels"] = channels_in_blocks(step)
    full = up(k)
    operands = (
        Operand("x", 0, (rows, c), ((("row", 1),), ())),
        Operand("weights", "weights", (full, up(c)), (CHANNELS, ())),
        Operand("channels", "channels", (full, 16), (CHANNELS, ())),
        Operand("y", OUT, (rows, k), ((("row", 1),), CHANNELS), itemsize=2),
    )
    return TiledKernel(
        function="me_linear_s8_s16",
        axes={"row": rows, **channel_axes(k)},
        split=("k", "row"),
        operands=operands,
        op={"c": c, "pre": step["pre"]},
        tile=_tile,
        arrays=arrays,
        work=lambda sizes: _work(sizes["row"], sizes["k"], c, engine.cores),
    )


def _work(rows: Any, blocks: Any, c: int, cores: int) -> Any:
    """Words of taps of 4 x 4 sums; rows behind the last four, and rows of no whole words, alone."""
    whole = rows // BLOCK if c % BLOCK == 0 else 0 * rows
    alone = 0.45 * (c // BLOCK + ODD_WORDS * (c % BLOCK)) + 4.5
    return (
        -(-whole * blocks // cores) * (c // BLOCK + 7.5)
        + -(-(rows - BLOCK * whole) * blocks // cores) * alone
    )


def _tile(regions: Mapping[str, Region]) -> Fields:
    rows, k = regions["y"].extent
    pointers: dict[str, Any] = {name: f"@{name}" for name in ("x", "weights", "channels", "y")}
    return {**pointers, "rows": rows, "k": k}
