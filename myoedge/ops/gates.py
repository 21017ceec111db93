# SPDX-License-Identifier: Apache-2.0
"""Sums before the gates of a recurrent layer, in 16 bits: what a step's input adds to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.fixedpoint import QParams, rescale
from myoedge.ir import Array
from myoedge.op import OpDef, Step, beside_last, exact_matmul, register
from myoedge.ops.conv import acc_bound, quantize, requant_of
from myoedge.ops.linear import linear_literals, linear_nest, linear_real, linear_shape
from myoedge.ops.packing import CHANNELS, channel_axes, packed_channels, packed_weights, up
from myoedge.tiled import OUT, Fields, Operand, Region, Tiled

# What a gate's function is taken of: +-32 in steps of 1/1024, beyond which it does not change.
GATE = QParams(2.0**-10, 0, "int16")
BLOCK = 4  # sums of a micro-kernel


def gates_integer(step: Step, x: Array) -> Array:
    """x int8 [..., C] -> int16 [..., K]."""
    acc = exact_matmul(x, step["weight"].T) + step["bias"]
    return np.asarray(np.clip(rescale(acc, requant_of(step)), step.low, step.high), np.int16)


def in_blocks(rows: Array) -> Array:
    """int8 [K, C] as `packed_weights`, with rows of zeros up to whole blocks."""
    return packed_weights(np.pad(rows, ((0, -len(rows) % BLOCK), (0, 0))))


def channels_in_blocks(step: Step) -> Array:
    """int32 [K, 4] as `packed_channels`, with zeros up to whole blocks."""
    channels = packed_channels(step)
    return np.pad(channels, ((0, -len(channels) % BLOCK), (0, 0)))


def gates_in_tiles(step: Step) -> Tiled:
    """Axes row, and k in blocks of channels."""
    sizes = linear_literals(step)
    rows, c, k = sizes["rows"], sizes["c_in"], sizes["k_out"]
    arrays = {"weights": in_blocks(step["weight"]), "channels": channels_in_blocks(step)}
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
            -(-(-(-sizes["row"] // 4) * sizes["k"]) // 8)
            * (words * prices.gates_word + prices.gates_block)
            + prices.recurrent_call
        ),
    )


def _tile(regions: Mapping[str, Region]) -> Fields:
    rows, k = regions["y"].extent
    pointers: dict[str, Any] = {name: f"@{name}" for name in ("x", "weights", "channels", "y")}
    return {**pointers, "rows": rows, "k": k}


GATES = register(
    OpDef(
        name="gates",
        doc="y = x W^T + b in 16 bits, steps of 1/1024: what inputs add to the gates of lstm, gru",
        shape=linear_shape,
        nest=linear_nest,
        real=linear_real,
        integer=gates_integer,
        quantize=quantize,
        acc_bound=acc_bound,
        template="gates.c.j2",
        literals=linear_literals,
        tiled=gates_in_tiles,
        weights=(1, 2),
        out_dtype="int16",
        fixed=GATE,
        multiplies=True,
        in_time=beside_last,
    )
)
