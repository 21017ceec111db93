# SPDX-License-Identifier: Apache-2.0
"""A kernel of its own for every channel, in tiles: packing, scratch and cost of me_depthwise.h."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array

Pair = tuple[int, int]
POINTER_WORDS = 2  # of a host: on the chip they take half of it


def packed_depthwise(weight: Array) -> Array:
    """int8 [C, k_h, k_w] -> for every four channels, for every four taps, a word a channel.

    The last four channels overlap the ones before where C is not a multiple of 4; taps run over
    rows and columns, those of 3 x 3 are a word a column.
    """
    channels, k_h, k_w = weight.shape
    if is_3x3(k_h, k_w):
        taps = np.pad(weight.transpose(0, 2, 1), ((0, 0), (0, 0), (0, 1)))
    else:
        flat = weight.reshape(channels, -1)
        taps = np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))).reshape(channels, -1, 4)
    taps = np.pad(taps, ((0, max(4 - channels, 0)), (0, 0), (0, 0)))
    first = [min(4 * group, len(taps) - 4) for group in range(-(-channels // 4))]
    blocks = [np.ascontiguousarray(taps[c : c + 4].transpose(1, 0, 2)) for c in first]
    return np.stack(blocks).astype(np.int8)


def is_3x3(k_h: int, k_w: int) -> bool:
    return (k_h, k_w) == (3, 3)


def tap_words(k_h: int, k_w: int) -> int:
    """Words of weights a channel."""
    return 3 if is_3x3(k_h, k_w) else -(-k_h * k_w // 4)


def scratch(k_h: int, k_w: int, channels: Any, ow: Any, cores: int) -> Any:
    """me_depthwise_scratch_bytes: the larger of strips of a row and lists of pointers."""
    strip = 1 + 4 * (ow + 2)
    lists = 8 * tap_words(k_h, k_w) * POINTER_WORDS + (channels + 3) // 4
    return cores * 4 * (np.maximum(strip, lists) + 1)


def way(kernel: Pair, stride: Pair, dilation: Pair) -> str:
    """Loop of me_depthwise_conv_s8.c that runs."""
    plain = is_3x3(*kernel) and dilation == (1, 1)
    if plain and stride == (1, 1):
        return "strips"
    return "rows" if plain and stride[1] == 2 else "any"


def work(way: str, words: int, rows: Any, columns: Any, groups: Any, cores: int) -> Any:
    """Two results of four channels of 3 x 3 taps, and what takes as long.

    words   of taps     groups  of four channels
    """
    if way == "strips":
        return _up(groups * _up(rows, 2), cores) * (columns + 7)
    if way == "rows":
        return _up(groups * rows, cores) * (1.2 * columns + 5)
    results, windows = _up(rows * columns * groups, cores), _up(rows * columns, cores)
    return 0.6 * results * (words + 1) + 13 * windows


def _up(a: Any, b: Any) -> Any:
    return -(-a // b)
