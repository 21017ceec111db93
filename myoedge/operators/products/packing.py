# SPDX-License-Identifier: Apache-2.0
"""Weights and channel parameters in the order in which kernels read them."""

from __future__ import annotations

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import Dim, Operand

BLOCK = 4  # channels that are computed together, and bytes of a word

# Axis "k" counts blocks of channels, "k4" the channels in one.
CHANNELS: Dim = (("k", BLOCK), ("k4", 1))


def up(n: int) -> int:
    """The next multiple of 4."""
    return -(-n // 4) * 4


def channel_axes(k: int) -> dict[str, int]:
    """Extents of the axes of CHANNELS."""
    return {"k": -(-k // BLOCK), "k4": BLOCK}


def packed_weights(weight: Array) -> Array:
    """int8 [K, *taps] -> for every four channels (the last may be fewer), for every four taps, a
    word a channel; zeros fill the last word of taps."""
    rows = weight.reshape(weight.shape[0], -1)
    k, taps = rows.shape
    padded = np.zeros((k, up(taps)), np.int8)
    padded[:, :taps] = rows
    words = padded.reshape(k, up(taps) // 4, 4)
    blocks = [words[i : i + BLOCK].transpose(1, 0, 2).reshape(-1) for i in range(0, k, BLOCK)]
    return np.concatenate(blocks)


def packed_channels(step: QuantizedNode) -> Array:
    """int32 [K, 4]: bias, multiplier, offset and shift of every output channel."""
    return np.stack([step[name] for name in ("bias", "mult", "offset", "shift")], axis=1)


def rows_in_blocks(rows: Array) -> Array:
    """[K, ..] with rows of zeros up to whole blocks."""
    return np.pad(rows, ((0, -len(rows) % BLOCK), (0, 0)))


def channels_in_blocks(step: QuantizedNode) -> Array:
    """int32 [K, 4] as `packed_channels`, with zeros up to whole blocks."""
    return rows_in_blocks(packed_channels(step))


def weight_operands(arrays: dict[str, Array], k: int, group: Dim = ()) -> tuple[Operand, ...]:
    """The packed arrays `weights` and `channels`, cut along blocks of the k channels of a group."""
    index = (group, CHANNELS, ())
    weights, channels = arrays["weights"], arrays["channels"]
    groups, size = len(channels) // k, weights.size // len(channels)
    return (
        Operand("weights", "weights", (groups, k, size), index, itemsize=weights.itemsize),
        Operand("channels", "channels", (groups, k, channels.nbytes // len(channels)), index),
    )


def with_table(step: QuantizedNode, arrays: dict[str, Array]) -> tuple[Operand, ...]:
    """Operand of a fused table, none without one; its array is added to `arrays`."""
    if step.table is None:
        return ()
    arrays["table"] = step.table
    return (Operand("table", "table", (256,), ((),)),)


def limits(step: QuantizedNode) -> dict[str, int | str]:
    """me_scale without its pre-shift."""
    table = "0" if step.table is None else "@table"
    return {"scale.low": step.low, "scale.high": step.high, "scale.table": table}


def scale_fields(step: QuantizedNode) -> dict[str, int | str]:
    """me_scale: what all channels share of the requantisation."""
    return {"scale.pre": step["pre"], **limits(step)}
