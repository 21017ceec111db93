# SPDX-License-Identifier: Apache-2.0
"""A kernel of its own for every channel, in tiles: packing, scratch and cost of me_depthwise.h."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import WORKERS
from myoedge.targets.gap9.costs import Prices

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


def scratch(k_h: int, k_w: int, channels: Any, ow: Any) -> Any:
    """me_depthwise_scratch, the larger of its two ways: strips of a row, or lists of pointers."""
    strip = 1 + 4 * (ow + 2)
    lists = 8 * tap_words(k_h, k_w) * POINTER_WORDS + (channels + 3) // 4
    return WORKERS * 4 * (np.maximum(strip, lists) + 1)


_CODE = {
    "strips": ("me_depthwise_run", "me_depthwise_pairs", "me_depthwise_strip"),
    "halving": ("me_depthwise_run wide", "me_depthwise_row_2"),
    "any": ("me_depthwise_run any", "me_depthwise_pixel"),
}


@dataclass(frozen=True, slots=True)
class Work:
    """A kernel of its own for every channel: which of the ways of me_depthwise.c it takes.

    words   of taps, for kernels of any size     limits, table, pre   what becomes of a result
    """

    way: str
    words: int
    limits: bool
    table: bool
    pre: bool

    @staticmethod
    def of(step: QuantizedNode, kernel: Pair, stride: Pair, dilation: Pair) -> Work:
        plain = is_3x3(*kernel) and dilation == (1, 1)
        strips, halving = plain and stride == (1, 1), plain and stride[1] == 2
        way = "strips" if strips else "halving" if halving else "any"
        limits = step.low > -128 or step.high < 127
        table, pre = step.table is not None, step["pre"] > 0
        return Work(way, tap_words(*kernel), limits, table, pre)

    @property
    def code(self) -> tuple[str, ...]:
        table = ("me_table_words",) if self.table else ()
        return (*_CODE[self.way], *table)


def cycles(prices: Prices, work: Work, rows: Any, columns: Any, groups: Any) -> Any:
    """Of the core that has most to do; groups: of four channels."""
    if work.way == "strips":
        found = _strips(prices, work, rows, columns, groups)
    elif work.way == "halving":
        units = _up(groups * rows, WORKERS)
        found = units * (columns * prices.depthwise_half + prices.depthwise_half_row)
    else:
        pixels, each = _up(rows * columns * groups, WORKERS), work.words * prices.depthwise_word
        found = pixels * (each + prices.depthwise_pixel)
        found = found + _up(rows * columns, WORKERS) * prices.depthwise_window
    return found + prices.depthwise_call


def _strips(prices: Prices, work: Work, rows: Any, columns: Any, groups: Any) -> Any:
    """Two rows of four channels at a time; each run of them fills its first vectors as well."""
    strips = _up(rows, 2)
    units = _up(groups * strips, WORKERS)
    larger, smaller = np.maximum(units, strips), np.minimum(units, strips)
    runs = _up(units, strips) + np.where(larger % smaller > 0, 1, 0)
    column = prices.depthwise_column + (prices.depthwise_table if work.table else 0.0)
    column = column + (prices.depthwise_pre if work.pre else 0.0)
    column = column + (prices.depthwise_limits if work.limits else 0.0)
    pairs = (units + runs) * (columns * prices.depthwise_pair)
    return units * (columns * column + prices.depthwise_strip) + pairs + runs * prices.depthwise_run


def _up(a: Any, b: Any) -> Any:
    return -(-a // b)
