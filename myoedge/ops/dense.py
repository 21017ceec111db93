# SPDX-License-Identifier: Apache-2.0
"""Products of rows and packed weights, 4 x 4 at a time: scratch and cost, as in me_dense.c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.op import Step
from myoedge.target.gap9_tiles import Prices
from myoedge.tiled import WORKERS

PIXELS = 4  # rows of a block
IDEAL = 24  # instructions of a 4 x 4 block for a word of taps
AROUND = 180  # cycles around the sums of a block, roughly: its parameters and results


def scratch(taps: int) -> int:
    """me_dense_scratch: what eight cores gather at a time, rows filled to words."""
    row = -(-taps // 4) * 4
    return WORKERS * PIXELS * _groups_at_a_time(taps) * (row + 4)


def stride(taps: int) -> int:
    """me_dense_stride: bytes between rows that are gathered, an odd number of words."""
    return 4 * (-(-taps // 4) | 1)


def _groups_at_a_time(taps: int) -> int:
    """me_dense_pixels, in groups of four."""
    row = -(-taps // 4) * 4
    return max(min(512 // row, 4), min(256 // row, 8), 1)


@dataclass(frozen=True, slots=True)
class Work:
    """Rows times channels, but for how many of them a tile has.

    words     of taps                   channels  of the whole layer
    copied    rows are brought together before they are multiplied: of so many pieces, of `tail`
              bytes behind the last whole word
    crossing  words of rows lie where they like
    limits, table   what becomes of a result
    zero      sums of rows are needed as well
    cores     that share it
    """

    words: int
    channels: int
    copied: bool = False
    pieces: int = 1
    tail: int = 0
    crossing: bool = False
    limits: bool = False
    table: bool = False
    zero: bool = False
    cores: int = WORKERS


def work(step: Step, taps: int, channels: int, **more: Any) -> Work:
    limits = step.low > -128 or step.high < 127
    return Work(_up(taps, 4), channels, limits=limits, table=step.table is not None, **more)


def _up(a: Any, b: Any) -> Any:
    return -(-a // b)


def _share(rows: Any) -> Any:
    """Of the instructions of four rows: `rows` of them times four channels."""
    return (5 * rows + 4) / IDEAL


def _has_rest(w: Work, blocks: Any) -> Any:
    """Whether the last block has fewer than four channels."""
    return (blocks * 4 > w.channels) * 1


def cycles(prices: Prices, w: Work, rows: Any, blocks: Any, columns: Any, apart: Any = 0) -> Any:
    """Of the core that has most to do, of `rows` times `blocks` of 4 channels.

    columns   rows that lie in step, and are copied at once
    apart     rows of that core that are brought together in another way
    """
    few, rest, narrow = rows <= PIXELS, rows % PIXELS, _has_rest(w, blocks)
    width = blocks - narrow * (1 - _share(w.channels % 4))
    last = np.where(rest > 0, _share(rest), 0.0)
    units = _up(np.where(few, width, (rows // PIXELS + last) * width), w.cores)
    high = np.where(few, rows, PIXELS)
    share = np.where(few, _share(rows), 1.0)
    split = _split(units, blocks)
    groups = np.minimum(_up(units, blocks) + split, _up(rows, PIXELS))
    most = _groups_at_a_time(4 * w.words) if w.copied else 4 * PIXELS
    runs = (_up(units // blocks, most) + split) * (1 + narrow) + np.where(few, 0, rest > 0)
    total = units * (share * w.words * prices.dense_word + prices.dense_block)
    total = total + units * _results(prices, w, high) + runs * prices.dense_run
    one = few & (rows == 1) & (not w.copied and not w.zero)
    call = np.where(few, 0, 1) * prices.dense_call + np.where(one, 1, 0) * prices.dense_one
    call = call + np.where(few & ~one, 1, 0) * prices.dense_few
    total = total + groups * prices.dense_group + call
    gathered = np.maximum(groups * high - apart, 0)
    return total + _rows(prices, w, gathered, columns) + _losses(prices, w, units * share)


def gathered(w: Work, rows: Any, blocks: Any) -> Any:
    """Rows that the core brings together that has most to do."""
    units = _up(np.where(rows <= PIXELS, blocks, _up(rows, PIXELS) * blocks), w.cores)
    groups = np.minimum(_up(units, blocks) + _split(units, blocks), _up(rows, PIXELS))
    return np.minimum(groups * PIXELS, rows)


def together(prices: Prices, w: Work, rows: Any, blocks: Any, columns: Any, apart: Any = 0) -> Any:
    """Of rows that all cores gather once; then blocks of four, two or one of them: what keeps most
    cores busy."""
    found: Any = 0.0 * prices.dense_block
    least: Any = np.inf
    for high in (PIXELS, 2, 1):
        each = _share(high) * w.words * prices.dense_word + prices.dense_block
        units = _up(_up(rows, high) * blocks, WORKERS)
        taken = units * (_share(high) * w.words * IDEAL + AROUND)
        better = ((high == PIXELS) | (rows % high == 0)) & (taken < least)
        found = np.where(better, units * (each + _results(prices, w, high)), found)
        least = np.where(better, taken, least)
    copied = _rows(prices, w, np.maximum(_up(rows, WORKERS) - apart, 0), columns)
    return found + copied + prices.dense_run + prices.dense_group + prices.dense_call


def _split(units: Any, blocks: Any) -> Any:
    """Whether cores begin and end within groups of rows."""
    larger, smaller = np.maximum(units, blocks), np.maximum(np.minimum(units, blocks), 1)
    return np.where(larger % smaller > 0, 1, 0)


def _results(prices: Prices, w: Work, high: Any) -> Any:
    """Of a block: its results, four a row."""
    each = prices.dense_result + (prices.dense_limits if w.limits else 0.0)
    each = each + (prices.dense_odd if w.channels % 4 else 0.0)
    return 4 * high * (each + (prices.dense_table if w.table else 0.0))


def _rows(prices: Prices, w: Work, rows: Any, columns: Any) -> Any:
    """What is done for rows before they are multiplied: copied by fours, summed."""
    total = 0.0 * rows * prices.dense_row
    if w.copied:
        each = prices.dense_row + w.pieces * (prices.dense_piece + w.tail * prices.dense_byte)
        total = total + rows * _copies(columns) * (each + w.words * prices.dense_copy)
    if w.zero:
        total = total + rows * (prices.dense_sum + w.words * prices.dense_sum_word)
    return total


def _copies(columns: Any) -> Any:
    """Of a row, on average: fewer than four are copied four times, others fill the last four."""
    rest = np.where(columns % 4 > 0, 1.5, 0.0)
    return np.where(columns < 4, 4.0, 1 + rest / columns)


def _losses(prices: Prices, w: Work, units: Any) -> Any:
    """While blocks are computed: words over two words of memory."""
    return units * w.words * prices.dense_crossing if w.crossing else 0.0


def first(prices: Prices, w: Work, rows: Any, blocks: Any) -> Any:
    """Code of a dense kernel that is not in the caches: a block of each size has its own."""
    if not (w.copied or w.zero) and np.all(rows == 1):
        return prices.first_row + (prices.first_table if w.table else 0.0)
    sizes = (1 + _has_rest(w, blocks)) * (1 + np.where(rows > PIXELS, rows % PIXELS > 0, 0))
    total = prices.first_dense + sizes * prices.first_block
    copying = prices.first_copy if w.copied else 0.0
    return total + copying + (prices.first_table if w.table else 0.0)


def packing(prices: Prices, w: Work, blocks: Any) -> Any:
    """Of b in a matrix product, four columns and up to four parts of them at a time."""
    share = np.minimum(_up(blocks, WORKERS), _up(2 * blocks, WORKERS) / 2)
    share = np.minimum(share, _up(4 * blocks, WORKERS) / 4)
    return share * w.words * prices.matmul_word + np.ceil(share) * prices.matmul_block
