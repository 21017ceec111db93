# SPDX-License-Identifier: Apache-2.0
"""Constants of NE16 layers: weights in bit planes, biases, multipliers and shifts."""

from __future__ import annotations

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.products.packing import row_sums

INPUTS, OUTPUTS, SIDE = 16, 32, 3  # of a tile: input and output channels, rows and columns
WEIGHT_BITS = 8
WEIGHT_OFFSET = 1 << (WEIGHT_BITS - 1)  # weights are stored as unsigned numbers


def weight_halves(weight: Array) -> tuple[Array, int]:
    """Split weights [K, ...] of more than 8 bits, at most HALVES_MAX large: weight = high *
    2**bits + low.

    -> (int8 [K, 2, ...], high and low; bits of each, with its sign)
    """
    largest = int(np.abs(weight.astype(np.int64)).max(initial=0))
    bits = next(n for n in range(2, WEIGHT_BITS + 1) if _halves_max(n) >= largest)
    offset = 1 << (bits - 1)
    low = ((weight.astype(np.int32) + offset) & ((1 << bits) - 1)) - offset
    return np.stack([(weight - low) >> bits, low], axis=1).astype(np.int8), bits


def _halves_max(bits: int) -> int:
    """Return the largest number that two halves of so many bits hold with either sign."""
    return ((1 << (bits - 1)) - 1) * ((1 << bits) + 1)


def bit_planes(weight: Array, bits: int = WEIGHT_BITS, inputs: int = INPUTS) -> Array:
    """Pack int8 weights [K, C] for 1x1 jobs: uint8 [K, C' / 16 * 2 * bits], C' = C padded to 16.

    For every 16 inputs and every bit, lowest first: two bytes; bit c % 8 of byte c // 8 belongs to
    input c.
    bits     stored bits of a weight
    inputs   inputs that the engine reads at a time: 16 of 8 bits, or 8 of 16 bits
    """
    return filter_planes(weight[:, None], bits, inputs)


def filter_planes(weight: Array, bits: int = WEIGHT_BITS, inputs: int = INPUTS) -> Array:
    """Pack int8 weights [K, *taps, C] for 3x3 jobs: uint8 [K, bytes].

    For every 16 inputs, every bit and every tap: two bytes as in `bit_planes`.
    """
    k, c = len(weight), weight.shape[-1]
    offset = 1 << (bits - 1)
    stored = (weight.astype(np.int16) + offset).astype(np.uint8).reshape(k, -1, c)
    padded = np.pad(stored, ((0, 0), (0, 0), (0, -c % inputs)))
    words = _transposed_bits(np.ascontiguousarray(padded).view("<u8")).view(
        np.uint8
    )  # 8 inputs, then their 8 bits
    halves = words.reshape(k, stored.shape[1], -1, inputs // 8, 8)[..., :bits]
    return np.ascontiguousarray(halves.transpose(0, 2, 4, 1, 3)).reshape(k, -1)


def linear_planes(weight: Array, bits: int = WEIGHT_BITS) -> Array:
    """Pack int8 weights [K, C] for linear jobs: uint8 [K, C' / 8 * bits], C' = C padded with weight
    0.

    For every bit, lowest first: bit c % 8 of byte c // 8 belongs to input c.
    """
    padded = np.pad(weight.astype(np.int16), ((0, 0), (0, -weight.shape[1] % INPUTS)))
    stored = (padded + (1 << (bits - 1))).astype(np.uint8)
    planes = stored[:, None] >> np.arange(bits, dtype=np.uint8)[:, None] & 1
    return np.packbits(planes, axis=-1, bitorder="little").reshape(len(weight), -1)


def _transposed_bits(words: Array) -> Array:
    """Transpose 8 x 8 bits in each uint64: bit i of byte j becomes bit j of byte i. Warren,
    Hacker's Delight, 7-3."""
    for distance, bits in (
        (7, 0x00AA00AA00AA00AA),
        (14, 0x0000CCCC0000CCCC),
        (28, 0x00000000F0F0F0F0),
    ):
        moved = (words ^ words >> np.uint64(distance)) & np.uint64(bits)
        words = words ^ moved ^ moved << np.uint64(distance)
    return words


def depthwise_planes(weight: Array, bits: int = WEIGHT_BITS) -> Array:
    """Pack int8 weights [C, 3, 3] for depthwise jobs: uint8 [C' / 16, bytes], C' = C padded to 16,
    as `filter_planes` with one bit per channel."""
    c = len(weight)
    taps = np.pad(weight.reshape(c, -1), ((0, -c % INPUTS), (0, 0)))
    return filter_planes(taps.reshape(-1, INPUTS, taps.shape[1]).swapaxes(1, 2), bits)


def scale_bytes(step: QuantizedNode) -> int:
    """Return the bytes of a requantisation multiplier: the fewest that hold those of all
    channels."""
    return 1 if int(step.integers.mult.max()) < 256 else 2


def parameters(step: QuantizedNode, times: int = 1) -> Array:
    """Pack NE16's channel constants: the biases of all channels (4 bytes each), then their
    multipliers, then their shifts (1 byte each).

    times   how often the values of all channels are repeated within each of the three

    The bias accounts for NE16 reading inputs plus 128.
    """
    mult = step.integers.mult.astype(np.int64)
    sums = step.integers.bias.astype(np.int64) - WEIGHT_OFFSET * row_sums(step.integers.weight)
    biases = (sums * mult + step.integers.offset).astype("<i4")
    scales = mult.astype(f"<u{scale_bytes(step)}")
    parts = (biases, scales, step.integers.shift.astype(np.uint8))
    return np.concatenate([np.tile(part, times).view(np.uint8) for part in parts])
