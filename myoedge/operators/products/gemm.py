# SPDX-License-Identifier: Apache-2.0
"""Scratch and work estimates of me_gemm_s8.c: products of rows and packed weights, in blocks of 4 x
4 sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div, round_up

PIXELS = 4  # rows per block
REST_LOOPS = (0, 1, 1, 2)  # loop iterations of me_copy_windows, by bytes after the last word

# In words of taps of 4 x 4 sums, per block, row of a block; copied window, word, run of bytes,
# bytes after a run's last word; window that crosses an edge.
BLOCK, BLOCK_ROW = 1.25, 0.9
WINDOW, WINDOW_WORD, WINDOW_RUN, WINDOW_REST = 7.0, 0.09, 0.035, 0.11
EDGE, EDGE_WORD = 14.0, 0.2
TABLE = 2  # table lookups of a block's results, in words
# Per tile: division of blocks of several rows among the cores; loading of the copying code.
SEVERAL_ROWS, COPIED = 18.0, 50.0


def scratch(taps: int, cores: int) -> int:
    """Return the scratch bytes of me_gemm for the gathered rows of all cores, padded to words;
    equal to C's me_gemm_scratch_bytes.

    taps   bytes of a row
    """
    row = round_up(taps, 4)
    at_a_time = max(min(512 // row, 4), min(256 // row, 8), 1)  # me_gemm_pixels, in blocks of four
    return cores * PIXELS * at_a_time * (row + 4)


def stride(taps: int) -> int:
    """Return the bytes from one gathered row to the next, an odd number of words; equal to C's
    me_gemm_row_stride.

    taps   bytes of a row
    """
    return 4 * (-(-taps // 4) | 1)


@dataclass(frozen=True, slots=True)
class Windows:
    """Access of a matrix-product kernel to its input rows.

    words      32-bit words per row
    copied     whether rows are first copied to scratch
    runs       contiguous runs of bytes from which a row is copied
    rest       bytes after the last whole word of a run
    crossing   whether words are loaded from unaligned addresses
    """

    words: int
    copied: bool = False
    runs: int = 1
    rest: int = 0
    crossing: bool = False


def block_work(rows: Any, blocks: Any, words: int, cores: int) -> Any:
    """Return the work of the busiest core for a matrix product, in words of taps of 4 x 4 sums.

    rows     input rows; the last block of four may be incomplete
    blocks   blocks of four output channels
    words    words of taps per row
    """
    whole, rest = rows // PIXELS * blocks, rows % PIXELS
    thin = np.where(rest > 0, _row_work(rest, words) / _row_work(PIXELS, words), 0.0)
    even = np.ceil((whole + thin * blocks) / cores)  # a core computes whole blocks
    share = np.where(whole > 0, even, ceil_div(blocks, cores) * thin)
    return share * _row_work(PIXELS, words)


def _row_work(rows: Any, words: int) -> Any:
    """Estimate the work of a block: 5 instructions per word of taps and row, plus 4."""
    return words * (5 * rows + 4) / 24 + BLOCK + BLOCK_ROW * rows


def gather_work(rows: Any, columns: Any, blocks: Any, w: Windows, cores: int) -> Any:
    """Return the work of copying windows to scratch, if each core copies the windows of all blocks
    that it computes.

    columns   adjacent windows that are copied at once
    w         layout of a window
    """
    fours = ceil_div(rows, PIXELS)
    offset = np.maximum(np.gcd(fours, cores), cores / blocks)  # of parts, in parts of a four
    most = ceil_div(fours + cores - offset, cores)  # blocks of the busiest core
    return _copies_work(most / fours * _copies(rows, columns), w)


def shared_gather_work(rows: Any, columns: Any, w: Windows, edge_share: float, cores: int) -> Any:
    """Return the work of copying every window once, split among the cores (gather_together in
    me_conv_s8.c).

    w            layout of a window
    edge_share   fraction of windows that overlap an edge and are copied singly, with zeros
    """
    most = ceil_div(rows, cores)
    inside = _copies_work(_copies(most, np.minimum(columns, most)), replace(w, copied=True))
    return (1 - edge_share) * inside + edge_share * edges_work(most, w.words)


def edges_work(rows: Any, words: int) -> Any:
    """Return the extra work of copying `rows` windows that overlap an edge, with zeros.

    words   words of taps per window
    """
    return rows * (EDGE + EDGE_WORD * words)


def _copies(rows: Any, columns: Any) -> Any:
    """Return the number of copies: one per four adjacent windows, one per window otherwise."""
    return rows * np.where(columns < PIXELS, 1, ceil_div(columns, PIXELS) / columns)


def _copies_work(copies: Any, w: Windows) -> Any:
    each = WINDOW + WINDOW_WORD * w.words
    each += (WINDOW_RUN + WINDOW_REST * REST_LOOPS[w.rest]) * w.runs
    return COPIED + PIXELS * copies * each if w.copied else 0


def shared_windows_work(rows: Any, blocks: Any, words: int, cores: int) -> Any:
    """Return the work of the busiest core for a matrix product whose windows are copied for all
    cores; it processes four, two or one window at once.

    rows     windows
    blocks   blocks of four output channels
    words    words of taps per window
    """
    each = [
        np.where(rows % high == 0, ceil_div(ceil_div(rows, high) * blocks, cores), np.inf)
        * _row_work(high, words)
        for high in (2, 1)
    ]
    return np.minimum(block_work(rows, blocks, words, cores), np.minimum(*each))
