# SPDX-License-Identifier: Apache-2.0
"""Products of rows and packed weights, 4 x 4 at a time: scratch and cost, as in me_dense.c."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import WORKERS
from myoedge.operators.products.gemm_split import IDEAL, PIXELS, Edges, Share, instructions, shares
from myoedge.targets.gap9.code_size import BESIDE, WAITS
from myoedge.targets.gap9.costs import Prices

MOST_GROUPS, MOST_SUMMED = 16, 8  # groups of rows at a time: MOST_PIXELS of me_dense.c
AROUND = 45  # cycles around the sums of a row of a block, roughly: its results
ANOTHER = 200  # of a kernel more that a core calls: its code is another too
MOST_PERIODS = 4  # rows of an image that are looked at for how they are copied
# Lines of code that a core runs again for every call of blocks side by side: around them, and where
# rows are found, copied, summed. Its own cache holds 32 lines.
AGAIN, AGAIN_FOUND, AGAIN_COPIED, AGAIN_SUMMED = 60, 25, 30, 30
TAIL_TURNS = (0, 1, 1, 2)  # of me_copy_windows, by bytes behind the last word
COPIED, EDGE = 60, 600  # of a row that is brought together, and of one that reaches over an edge


def scratch(taps: int) -> int:
    """me_dense_scratch: what eight cores gather at a time, rows filled to words."""
    row = -(-taps // 4) * 4
    return WORKERS * PIXELS * _gathered_at_a_time(taps) * (row + 4)


def stride(taps: int) -> int:
    """me_dense_stride: bytes between rows that are gathered, an odd number of words."""
    return 4 * (-(-taps // 4) | 1)


def _gathered_at_a_time(taps: int) -> int:
    """me_dense_pixels, in groups of four."""
    row = -(-taps // 4) * 4
    return max(min(512 // row, 4), min(256 // row, 8), 1)


@dataclass(frozen=True, slots=True)
class Work:
    """Rows times channels, but for how many of them a tile has.

    words     of taps                   channels  of the whole layer
    copied    rows are brought together before they are multiplied: of so many pieces, of `tail`
              bytes behind the last whole word
    gathers   where rows lie is found out one by one
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
    gathers: bool = False
    crossing: bool = False
    limits: bool = False
    table: bool = False
    zero: bool = False
    cores: int = WORKERS


def no_edges(first: Any, count: Any) -> Any:
    return 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Of a tile.

    columns   rows that lie in step, and are copied at once
    over      of these, how many at the start and at the end reach over an edge
    edges     of rows from one on, those that do, which are brought together in another way
    edge      the price of that
    """

    columns: Any
    over: tuple[Any, Any] = (0, 0)
    edges: Edges = no_edges
    edge: Any = 0.0


def work(step: QuantizedNode, taps: int, channels: int, **more: Any) -> Work:
    limits = step.low > -128 or step.high < 127
    return Work(up(taps, 4), channels, limits=limits, table=step.table is not None, **more)


def up(a: Any, b: Any) -> Any:
    return -(-a // b)


def _share(rows: Any) -> Any:
    """Of the instructions of four rows: `rows` of them times four channels."""
    return instructions(rows) / IDEAL


def has_rest(w: Work, blocks: Any) -> Any:
    """Whether the last block has fewer than four channels."""
    return (blocks * 4 > w.channels) * 1


def _groups_at_a_time(w: Work) -> int:
    """Of four rows whose blocks are computed in one call, at most."""
    return _gathered_at_a_time(4 * w.words) if w.copied else MOST_SUMMED if w.zero else MOST_GROUPS


def cycles(prices: Prices, w: Work, rows: Any, blocks: Any, at: Rows) -> Any:
    """Of the core that has most to do, of `rows` times `blocks` of 4 channels."""
    few, high = rows <= PIXELS, np.where(rows <= PIXELS, rows, rows % PIXELS)
    one_size = isinstance(rows, int) and isinstance(blocks, int)
    mine = (_known_busiest if one_size else _busiest)(w, rows, blocks, at.edges)
    words = _words(w, mine, high)
    total = words * w.words * prices.dense_word + _around(prices, mine, high)
    total = total + _results(prices, w, mine, high) + mine.runs * prices.dense_run
    total = total + np.maximum(mine.runs - 1, 0) * _again(w) * prices.code_run
    one = few & (rows == 1) & (not w.gathers and not w.zero)
    total = total + mine.groups * np.where(one, 0, 1) * prices.dense_group
    call = np.where(few, 0, 1) * prices.dense_call + np.where(one, 1, 0) * prices.dense_one
    call = call + np.where(few & ~one, 1, 0) * prices.dense_few + prices.dense_ready
    total = total + call
    apart = at.edges(mine.first, mine.rows)
    total = total + _rows(prices, w, np.maximum(mine.rows - apart, 0), at) + apart * at.edge
    return total + (words * w.words * prices.dense_crossing if w.crossing else 0.0)


def _busiest(w: Work, rows: Any, blocks: Any, edges: Edges) -> Share:
    """Of the core that has most to do."""
    high = np.where(rows <= PIXELS, rows, rows % PIXELS)
    every = shares(rows, blocks, has_rest(w, blocks), _groups_at_a_time(w), w.cores)
    return every.most(_taken(w, every, high, edges(every.first, every.rows)))


_known_busiest = lru_cache(maxsize=1024)(_busiest)  # layers that are alike ask again and again


def _pairs(s: Share, high: Any) -> Any:
    """Blocks of one row that are computed two at a time."""
    return np.where(high == 1, (s.thin - s.thin_rest) // 2, 0)


def _around(prices: Prices, s: Share, high: Any) -> Any:
    """What is around the sums of blocks."""
    pairs = _pairs(s, high)
    single = np.where(high == 1, s.thin - 2 * pairs, 0)
    others = s.whole + np.where(high == 1, 0, s.thin)
    return others * prices.dense_block + single * prices.dense_single + pairs * prices.dense_pair


def _words(w: Work, s: Share, high: Any) -> Any:
    """Blocks by how long they take for a word of taps."""
    lost = 1 - _share(w.channels % 4)
    thin = _share(high) * (s.thin - s.thin_rest * lost) - _pairs(s, high) / IDEAL
    return s.whole - s.whole_rest * lost + thin


def _taken(w: Work, s: Share, high: Any, apart: Any) -> Any:
    """Cycles of each core, roughly."""
    each = AROUND + (60 if w.table else 0)
    read = (COPIED + 3 * w.words) * s.rows if w.copied else 0.0
    at_edge = apart * (EDGE + 6 * w.words)
    kernels = ANOTHER * np.maximum(_kernels(s, high) - 1, 0)
    return (
        _words(w, s, high) * w.words * IDEAL + (s.whole + s.thin) * each + read + at_edge + kernels
    )


def _kernels(s: Share, high: Any) -> Any:
    """How many kernels a core calls: blocks of each size have their own."""
    wide, thin = s.whole - s.whole_rest, s.thin - s.thin_rest
    of_thin = np.where(high == 1, (thin > 1) + thin % 2, thin > 0)
    return (wide > 0) * 1 + (s.whole_rest > 0) * 1 + of_thin + (s.thin_rest > 0) * 1


def together(prices: Prices, w: Work, rows: Any, blocks: Any, at: Rows) -> Any:
    """Of rows that all cores gather once; then blocks of four, two or one of them: what keeps most
    cores busy."""
    found: Any = 0.0 * prices.dense_block
    least: Any = np.inf
    for high in (PIXELS, 2, 1):
        each = _share(high) * w.words * prices.dense_word
        each = each + (prices.dense_single if high == 1 else prices.dense_block)
        each = each + 4 * high * _result(prices, w)
        each = each + (high * _looked_up(prices, 1) if w.table else 0.0)
        units = up(up(rows, high) * blocks, WORKERS)
        taken = units * (_share(high) * w.words * IDEAL + PIXELS * AROUND)
        better = ((high == PIXELS) | (rows % high == 0)) & (taken < least)
        found = np.where(better, units * each, found)
        least = np.where(better, taken, least)
    begin, count = _even(rows)
    apart = at.edges(begin, count)
    most = np.argmax(count * (COPIED + 3 * w.words) + apart * (EDGE + 6 * w.words), axis=0)[None]
    count, apart = (
        np.take_along_axis(np.broadcast_to(x, np.shape(count)), most, 0)[0] for x in (count, apart)
    )
    copied = _rows(prices, w, count - apart, at) + apart * at.edge
    return (
        found
        + copied
        + prices.dense_run
        + prices.dense_group
        + prices.dense_call
        + prices.dense_ready
    )


def _even(rows: Any) -> tuple[Any, Any]:
    """(first, how many) of rows that are shared as such, by core."""
    part = np.arange(WORKERS + 1).reshape(-1, *[1] * np.ndim(rows))
    ends = rows * part // WORKERS
    return ends[:-1], ends[1:] - ends[:-1]


def _result(prices: Prices, w: Work) -> Any:
    each = 0.0 * prices.dense_limits + (prices.dense_limits if w.limits else 0.0)
    return each + (prices.dense_odd if w.channels % 4 else 0.0)


def _again(w: Work) -> int:
    return AGAIN + w.gathers * AGAIN_FOUND + w.copied * AGAIN_COPIED + w.zero * AGAIN_SUMMED


def _results(prices: Prices, w: Work, s: Share, high: Any) -> Any:
    """Of a core; those of whole groups go through their table at once, others row by row."""
    count = PIXELS * (PIXELS * s.whole + high * s.thin)
    total = count * _result(prices, w)
    if w.table:
        one_by_one = np.where(s.thin > 0, high, PIXELS) * s.cut
        total = total + _looked_up(prices, count / 4, s.runs - s.cut + one_by_one)
    return total


def _looked_up(prices: Prices, words: Any, rows: Any = 1) -> Any:
    return words * prices.dense_table + rows * prices.dense_table_row


def _rows(prices: Prices, w: Work, rows: Any, at: Rows) -> Any:
    """What is done for rows before they are multiplied: copied by fours, summed."""
    total = 0.0 * rows * prices.dense_row
    if w.copied:
        each = prices.dense_row + w.pieces * (
            prices.dense_piece + TAIL_TURNS[w.tail] * prices.dense_byte
        )
        total = total + rows * _copies(w, at) * (each + w.words * prices.dense_copy)
    if w.zero:
        each = w.words * prices.dense_sum_word + w.tail * prices.dense_sum_byte
        total = total + rows * (prices.dense_sum + each)
    return total


def _copies(w: Work, at: Rows) -> Any:
    """Of a row, on average."""
    every = np.broadcast_arrays(at.columns, *at.over)
    known, index = np.unique(np.stack([x.ravel() for x in every]), axis=1, return_inverse=True)
    read = 4 * _groups_at_a_time(w)
    each = [_mean_copies(int(n), int(left), int(right), read) for n, left, right in known.T]
    return np.array(each)[index].reshape(every[0].shape)


@lru_cache(maxsize=4096)
def _mean_copies(columns: int, left: int, right: int, at_a_time: int) -> float:
    """Rows are read so many at a time. Those that lie in step, without `left` and `right` ones over
    the edges, are copied by fours: fewer than four, four times each; of others the last four, some
    of them once more."""
    done = copies = 0
    for start in range(0, columns * MOST_PERIODS, at_a_time):
        at, end = start, start + at_a_time
        while at < end:
            column = at % columns
            inside = left <= column < columns - right
            count = min(end - at, columns - right - column) if inside else 1
            if inside:
                copies += 4 * count if count < 4 else -(-count // 4) * 4
                done += count
            at += count
    return copies / done if done else 1.0


def code(
    w: Work, rows: Any, blocks: Any, together: bool = False, edges: bool = False
) -> tuple[str, ...]:
    """Functions that run, in turn: blocks of each size have their own.

    together   rows are brought together by all cores     edges   some of them reach over an edge
    """
    mine = dict.fromkeys(_blocks_code(w, rows, blocks))
    others = (f"{BESIDE}{name}" for name in _all_blocks(w, rows, blocks) if name not in mine)
    found = (*mine, *(("look_up", "me_table_words") if w.table else ()), *others)
    if not (w.gathers or w.zero) and rows == 1:
        return ("run one", "run_blocks", WAITS, *found)
    places = "place_of rest" if rows % PIXELS else "place_of"
    begin = ("run", *((places,) if rows > PIXELS else ()), "run_part")
    over = ("copy_padded",) if edges else ()
    copies = ("copy_whole", "me_copy_windows") if w.copied else ()
    if together:
        return (WAITS, "gather_together", *over, *copies, *begin, "run_blocks", *found)
    if w.gathers:
        return (*begin, WAITS, "gather", *copies, *over, "run_blocks", *found)
    if w.zero:
        return (*begin, "spread", WAITS, "add_rows", "me_sum_rows", "run_blocks", *found)
    return (*begin, "spread", "run_blocks", WAITS, *found)


def _blocks_code(w: Work, rows: Any, blocks: Any) -> Iterator[str]:
    """Of the core that has most to do: of one row eight channels at a time."""
    mine, rest = _known_busiest(w, int(rows), int(blocks), no_edges), w.channels % 4
    last = min(rows, PIXELS) if rows <= PIXELS else rows % PIXELS
    for high, every, odd in (
        (PIXELS, mine.whole, mine.whole_rest),
        (last, mine.thin, mine.thin_rest),
    ):
        wide = every - odd
        if high == 1 and wide > 1:
            yield "me_block_1x8"
        if wide > 0 and (high > 1 or wide % 2):
            yield f"me_block_{high}x4"
        if odd > 0:
            yield f"me_block_{high}x{rest}"


def _all_blocks(w: Work, rows: int, blocks: int) -> Iterator[str]:
    """Of all cores: full and last rows, full and last channels."""
    rest = w.channels % 4 if has_rest(w, blocks) else 0
    last = rows % PIXELS if rows > PIXELS else rows
    for high in (PIXELS,) * (rows >= PIXELS) + (last,) * (0 < last < PIXELS):
        if blocks > (rest > 0):
            yield f"me_block_{high}x4"
        if rest:
            yield f"me_block_{high}x{rest}"
