# SPDX-License-Identifier: Apache-2.0
"""Tiling of rows times packed weights, with int8 results (me_linear_s8) or int16 results
(me_linear_s8_s16): linear layers, gates, and convolutions with contiguous windows; scratch and work
of me_gemm_s8.c, whose products are blocks of 4 x 4 sums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel
from myoedge.operators.kernel_formats import is_large
from myoedge.operators.library.packed_weights import stored_bits
from myoedge.operators.library.packing import (
    CHANNELS,
    channel_axes,
    channels_in_blocks,
    packed_channels,
    packed_weights,
    rows_in_blocks,
    scale_fields,
    table_operand,
    weight_operands,
)
from myoedge.operators.result_order import ResultOrder
from myoedge.targets.chip import Engine

# Products for which C may be generated: alone, 128 x 128 are faster by hand once their weights have
# arrived; with the layers around it in one loop, larger ones are not.
MOST_ALONE, MOST_JOINED = 12_288, 65_536
REST_IN_PLACE = (0, 16, 32, 32)  # words that taps after the last one of a row in place take
ODD_WORDS = 3  # a tap after the last whole word takes as long as this many words


def row_sizes(step: QuantizedNode) -> tuple[int, int, int]:
    """Return (number of rows, inputs per row, results per row)."""
    return math.prod(step.out[:-1]), math.prod(step.integers.weight.shape[1:]), step.out[-1]


def is_int8(step: QuantizedNode) -> bool:
    """Return whether weights and results are int8."""
    return step.weight_type != INT16 and step.element_type != INT16


def is_large_product(rows: int, c: int, k: int) -> bool:
    """Return whether a product is large enough for nine cores; rows that are copied first use
    eight.

    rows, c, k   number of rows, inputs and results per row
    """
    return c % 4 == 0 and is_large(rows * c * k)


def is_small_product(step: QuantizedNode) -> bool:
    """Return whether C may be generated for a product alone: it is small, and its weights are bytes
    or 16 bits. Kernels for larger ones share loads among rows, and unpack weights of few bits."""
    return may_join_product(step) and math.prod(row_sizes(step)) <= MOST_ALONE


def may_join_product(step: QuantizedNode) -> bool:
    """Return whether C may be generated for a product with the layers around it."""
    return math.prod(row_sizes(step)) <= MOST_JOINED and stored_bits(step, step.weight_type) in (
        None,
        INT8.bits,
    )


def rows_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a linear layer with int8 results; tiles divide rows and blocks of
    output channels."""
    rows, c, k = row_sizes(step)
    gather, table, cores = c % 4 != 0, table_operand(step), engine.cores
    weights = packed_weights(step.integers.weight.reshape(k, c))
    windows = Windows(ceil_div(c, 4), copied=gather, rest=c % 4)
    words = windows.words + (TABLE if table else 0)
    x = Operand("x", 0, (rows, c), ((("row", 1),), ()))
    y = Operand("y", OUT, (rows, k), ((("row", 1),), CHANNELS))
    return TiledKernel(
        function="me_linear_s8",
        kernel_waits=True,
        axes={"row": rows, **channel_axes(k)},
        split=("k", "row"),
        operands=(x, *weight_operands(weights, packed_channels(step), k), *table, y),
        op={"c": c, **scale_fields(step)},
        tile=_tile_fields,
        scratch=lambda sizes: scratch(c, cores) if gather else 0,
        work=lambda sizes: (
            block_work(sizes["row"], sizes["k"], words, cores)
            + np.where(sizes["row"] > 1, SEVERAL_ROWS, 0.0)
            + gather_work(sizes["row"], sizes["row"], sizes["k"], windows, cores)
        ),
        nine_cores=engine.control_core,
        order=block_order(("row",), c, k, copied=gather, in_place=not gather),
    )


MOST_PIXELS = 64  # read in place and computed channel by channel; equal to me_gemm_s8.c's


def block_order(
    loops: tuple[str, ...], taps: int, k: int, *, copied: bool, in_place: bool
) -> ResultOrder:
    """Return the order in which me_gemm_s8 computes pixels with k channels on one core.

    copied     whether all windows are copied, as many at a time as scratch holds
    in_place   whether none is copied; a pixel with channels behind the last four is read again
    """
    if copied or (in_place and k % PIXELS == 0):
        return ResultOrder(loops, PIXELS, reads_first=copied)
    return ResultOrder(loops, MOST_PIXELS if in_place else PIXELS * fours_copied(taps))


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    (rows, c), (_, k) = regions["x"].extent, regions["y"].extent
    return {
        "x": "@x",
        "rows": rows,
        "x_stride": c,
        "weights": "@weights",
        "channels": "@channels",
        "y": "@y",
        "k": k,
        "y_stride": k,
        "scratch": "@scratch",
    }


def rows_in_place(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the kernel of a linear layer that reads input rows of any length in place, with
    unaligned loads if necessary."""
    tiled, c = rows_in_tiles(step, engine), row_sizes(step)[1]
    words = ceil_div(c, 4) + REST_IN_PLACE[c % 4]
    return replace(
        tiled,
        function="me_linear_in_place_s8",
        kernel_waits=False,
        tile=lambda regions: {k: v for k, v in _tile_fields(regions).items() if k != "scratch"},
        scratch=lambda sizes: 0,
        work=lambda sizes: -(-sizes["row"] * sizes["k"] // engine.cores) * words,
        nine_cores=None,
    )


def wide_rows(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a linear layer with int16 results and contiguous input rows; tiles
    divide rows and blocks of output channels k."""
    rows, c, k = row_sizes(step)
    weights = packed_weights(rows_in_blocks(step.integers.weight.astype(np.int8).reshape(k, c)))
    channels, size_bytes = channels_in_blocks(step), step.element_type.size_bytes
    return TiledKernel(
        function="me_linear_s8_s16",
        axes={"row": rows, **channel_axes(k)},
        split=("k", "row"),
        operands=(
            Operand("x", 0, (rows, c), ((("row", 1),), ()), itemsize=step.read_type(0).size_bytes),
            *weight_operands(weights, channels, len(channels)),
            Operand("y", OUT, (rows, k), ((("row", 1),), CHANNELS), itemsize=size_bytes),
        ),
        op={"c": c, "pre": step.integers.pre},
        tile=_int16_tile_fields,
        work=lambda sizes: _int16_work(sizes["row"], sizes["k"], c, engine.cores),
        doubled_axes=("k",) if rows == 1 and weights.nbytes >= MANY_BYTES else (),
    )


MANY_BYTES = 1 << 18  # of weights of a single row: a loop's layer and its first steps, cut alike


def _int16_tile_fields(regions: Mapping[str, Region]) -> Fields:
    rows, k = regions["y"].extent
    pointers: dict[str, Any] = {name: f"@{name}" for name in ("x", "weights", "channels", "y")}
    return {**pointers, "rows": rows, "k": k}


def _int16_work(rows: Any, blocks: Any, c: int, cores: int) -> Any:
    """Return the work in words of taps of 4 x 4 sums, of the slowest core. The last one has the
    leftover rows; these, and rows of no whole words, are computed one by one."""
    alone = 0.45 * (c // 4 + ODD_WORDS * (c % 4)) + 4.5
    whole = PIXELS * alone if c % 4 else c // 4 + 7.5
    count, four = ceil_div(rows, PIXELS) * blocks, rows // PIXELS * blocks
    slowest = 0.0 * count
    for core in range(cores):  # as me_share
        first, last = core * count // cores, (core + 1) * count // cores
        left = np.maximum(last - np.maximum(first, four), 0)
        work = (last - first - left) * whole + left * (rows % PIXELS) * alone
        slowest = np.maximum(slowest, work)
    return slowest


PIXELS = 4  # rows per block
REST_LOOPS = (0, 1, 1, 2)  # loop iterations of me_copy_windows, by bytes after the last word

# In words of taps of 4 x 4 sums, per block, row of a block; per call of the copying code, four
# windows that it copies, their words, runs of bytes, bytes after a run's last word; window that
# crosses an edge.
BLOCK, BLOCK_ROW = 1.25, 0.9
CALL, FOUR, FOUR_WORD, FOUR_RUN, FOUR_REST = 24.5, 1.6, 0.36, 0.14, 0.44
EDGE, EDGE_WORD = 14.0, 0.2
TABLE = 2  # table lookups of a block's results, in words
# Per tile: division of blocks of several rows among the cores; loading of the copying code.
SEVERAL_ROWS, COPIED = 18.0, 50.0


def scratch(taps: int, cores: int) -> int:
    """Return the scratch bytes of me_gemm for the gathered rows of all cores, padded to words;
    equal to C's me_gemm_scratch_bytes.

    taps   bytes of a row
    """
    return cores * PIXELS * fours_copied(taps) * (round_up(taps, 4) + 4)


def fours_copied(taps: int) -> int:
    """Return how many fours of rows are gathered at a time, a fourth of C's me_gemm_pixels."""
    row = round_up(taps, 4)
    return max(min(512 // row, 4), min(256 // row, 8), 1)


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
    thin = np.where(rest > 0, _block_work(rest, words) / _block_work(PIXELS, words), 0.0)
    even = np.ceil((whole + thin * blocks) / cores)  # a core computes whole blocks
    share = np.where(whole > 0, even, ceil_div(blocks, cores) * thin)
    return share * _block_work(PIXELS, words)


def _block_work(rows: Any, words: int) -> Any:
    """Estimate the work of a block: 5 instructions per word of taps and row, plus 4."""
    return words * (5 * rows + 4) / 24 + BLOCK + BLOCK_ROW * rows


def gather_work(rows: Any, columns: Any, blocks: Any, w: Windows, cores: int) -> Any:
    """Return the work of copying windows to scratch, if each core copies the windows of all blocks
    that it computes: in one call those of whole fours that scratch holds, of a part of a four, or
    up to the end of a row.

    columns   adjacent windows that are copied at once
    w         layout of a window
    """
    if not w.copied:
        return 0
    fours = ceil_div(rows, PIXELS)
    offset = np.maximum(np.gcd(fours, cores), cores / blocks)  # of parts, in parts of a four
    most = ceil_div(fours + cores - offset, cores)  # fours of the busiest core
    whole = np.minimum(fours // cores, most)
    calls = ceil_div(whole, fours_copied(PIXELS * w.words)) + most - whole
    calls = calls + np.where(columns < rows, PIXELS * most / columns, 0)
    return _work_of_copies(calls, most / fours * _copies_per_row(rows, columns), w)


def shared_gather_work(rows: Any, columns: Any, w: Windows, edge_share: float, cores: int) -> Any:
    """Return the work of copying every window once, split among the cores (gather_together in
    me_conv_s8.c).

    w            layout of a window
    edge_share   fraction of windows that overlap an edge and are copied singly, with zeros
    """
    most = ceil_div(rows, cores)
    copies = _copies_per_row(most, np.minimum(columns, most))
    inside = _work_of_copies(ceil_div(most, columns), copies, w)
    return (1 - edge_share) * inside + edge_share * edges_work(most, w.words)


def edges_work(rows: Any, words: int) -> Any:
    """Return the extra work of copying `rows` windows that overlap an edge, with zeros.

    words   words of taps per window
    """
    return rows * (EDGE + EDGE_WORD * words)


def _copies_per_row(rows: Any, columns: Any) -> Any:
    """Return the number of copies: one per four adjacent windows, one per window otherwise."""
    return rows * np.where(columns < PIXELS, 1, ceil_div(columns, PIXELS) / columns)


def _work_of_copies(calls: Any, copies: Any, w: Windows) -> Any:
    """Return the work of copying windows, four at a time or each by itself.

    copies   number of such copies
    """
    each = FOUR + FOUR_WORD * w.words + (FOUR_RUN + FOUR_REST * REST_LOOPS[w.rest]) * w.runs
    return COPIED + CALL * calls + copies * each


def shared_windows_work(rows: Any, blocks: Any, words: int, cores: int) -> Any:
    """Return the work of the busiest core for a matrix product whose windows are copied for all
    cores; it processes four, two or one window at once.

    rows     windows
    blocks   blocks of four output channels
    words    words of taps per window
    """
    each = [
        np.where(rows % high == 0, ceil_div(ceil_div(rows, high) * blocks, cores), np.inf)
        * _block_work(high, words)
        for high in (2, 1)
    ]
    return np.minimum(block_work(rows, blocks, words, cores), np.minimum(*each))
