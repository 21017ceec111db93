# SPDX-License-Identifier: Apache-2.0
"""Weights of a depthwise convolution in the order in which its kernel reads them."""

from __future__ import annotations

import numpy as np

from myoedge.ir import Array


def pack_depthwise(weights: Array) -> Array:
    """int8 [C, k_h, k_w] -> int8 [groups, blocks, 4 channels, 4 taps], as me_depthwise.h says.

    The last four channels overlap the ones before where C is not a multiple of 4.
    """
    channels = weights.shape[0]
    taps = _taps(weights)
    if channels < 4:
        taps = np.pad(taps, ((0, 4 - channels), (0, 0), (0, 0)))
    first = [min(4 * g, len(taps) - 4) for g in range(-(-channels // 4))]
    return np.stack([np.ascontiguousarray(taps[c : c + 4].transpose(1, 0, 2)) for c in first])


def _taps(weights: Array) -> Array:
    """[C, blocks, 4]: a block a column of 3 x 3, else four taps in the order of rows."""
    channels, k_h, k_w = weights.shape
    if (k_h, k_w) == (3, 3):
        return np.pad(weights.transpose(0, 2, 1), ((0, 0), (0, 0), (0, 1)))
    flat = weights.reshape(channels, -1)
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))).reshape(channels, -1, 4)


def depthwise_scratch(k_h: int, k_w: int, strides: tuple[int, int], channels: int, ow: int) -> int:
    """Bytes that me_depthwise_run needs besides operands, dilation 1; as me_depthwise_scratch."""
    blocks = 3 if (k_h, k_w) == (3, 3) else -(-k_h * k_w // 4)
    strip = (k_h, k_w) == (3, 3) and strides == (1, 1) and channels >= 4
    words = 1 + 4 * (ow + 2) if strip else 8 * blocks + -(-channels // 4)
    return 8 * 4 * (words | 1)
