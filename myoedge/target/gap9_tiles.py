# SPDX-License-Identifier: Apache-2.0
"""What the planner takes things to cost on GAP9, in cycles of the cluster clock.

Estimates. The rate of the DMA and its cost a line follow from mchan's two ports of 4 bytes
(recorded programs p19 and p20). The others are rounded from single runs on the embedded simulator,
not fitted: on All-ConvNet 16 x 8 they are 4 to 28 % low.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """Cycles of one unit of everything that a layer in tiles does.

    Where nothing else is said a price is of eight cores together; an item is an element.

    dma_byte, dma_line, dma_start    moved; beside its bytes; until the first byte of a transfer
    step, layer                      a barrier and the call of a kernel; from a layer to the next
    dense_word, dense_block          of one core: 4 x 4 sums of a word of taps; around them
    dense_rest_*                     of one core: blocks of fewer than four rows
    dense_gather_word, _row          of one core: rows that are gathered first
    dense_call, matmul_pack_*        a call; columns of b that are packed
    depthwise_3x3_tap, _tap, _call   a product; a call
    pair_item, table_item            of sums and products of two operands; of a table
    scaled_item                      with a factor for every channel
    flat_row, flat_call              a turn of an outer loop; a call
    max_pool_tap, avg_pool_tap       a tap of a result
    pool_window, pool_call           all channels of a position; a call
    sums_item, sums_result           what is added up; what comes of it
    softmax_item, argmax_item        an element of a row
    """

    dma_byte: float
    dma_line: float
    dma_start: float
    step: float
    layer: float
    dense_word: float
    dense_block: float
    dense_rest_word: float
    dense_rest_words: float
    dense_rest_row: float
    dense_rest: float
    dense_gather_word: float
    dense_gather_row: float
    dense_call: float
    matmul_pack_item: float
    matmul_pack_column: float
    depthwise_3x3_tap: float
    depthwise_tap: float
    depthwise_call: float
    pair_item: float
    table_item: float
    scaled_item: float
    flat_row: float
    flat_call: float
    max_pool_tap: float
    avg_pool_tap: float
    pool_window: float
    pool_call: float
    sums_item: float
    sums_result: float
    sums_call: float
    softmax_item: float
    argmax_item: float
    rows_call: float


GAP9_TILES = Prices(
    dma_byte=0.125,
    dma_line=2.0,
    dma_start=60.0,
    step=80.0,
    layer=250.0,
    dense_word=24.0,
    dense_block=132.0,
    dense_rest_word=5.0,
    dense_rest_words=4.0,
    dense_rest_row=28.0,
    dense_rest=20.0,
    dense_gather_word=3.0,
    dense_gather_row=20.0,
    dense_call=300.0,
    matmul_pack_item=0.5,
    matmul_pack_column=15.0,
    depthwise_3x3_tap=1 / 6,
    depthwise_tap=1 / 3,
    depthwise_call=400.0,
    pair_item=0.9,
    table_item=0.5,
    scaled_item=1.2,
    flat_row=6.0,
    flat_call=250.0,
    max_pool_tap=0.08,
    avg_pool_tap=0.2,
    pool_window=6.0,
    pool_call=300.0,
    sums_item=0.25,
    sums_result=3.0,
    sums_call=300.0,
    softmax_item=3.0,
    argmax_item=1.0,
    rows_call=400.0,
)
