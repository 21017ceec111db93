# SPDX-License-Identifier: Apache-2.0
"""What the planner takes things to cost on GAP9, in cycles of the cluster clock.

Fitted: `python -m tests.layer_costs fit` runs the networks of tests/layer_networks.py on the
embedded simulator, finds the prices with which the model of plan/timing.py comes closest to the
cycles of all their layers, and writes them below.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """Cycles of one unit of everything that a layer in tiles does.

    Kernels run on eight cores at once; what they do is counted for the core that has most to do.

    network                   before the first layer: nothing is in the caches
    layer, joined             from the end of a layer to the start of the next; of one that goes on
                              without a stop
    first_*                   a kernel's first call in a layer: its code is not in the caches
    step                      a barrier and what is around the call of a kernel
    haul                      to ask for a transfer between L3 and L2
    dma_command, dma_first    to start a command of the DMA; what its code takes more the first time
    dma_end                   from the last byte until the cores go on
    dma_byte                  moved
    dma_line, dma_out_line    every line of a transfer beside its bytes, into L1 and out of it
    dma_contention            a byte that is moved while cores compute: banks of L1 are shared
    dma_slowed                what the DMA loses of a cycle in which cores compute, likewise
    dense_word, dense_block   4 x 4 sums of a word of taps; around them
    dense_result, _limits, _table    a result of a block; its limits; its table
    dense_group, _run         four rows at a time; rows that are gathered at once
    dense_call, _few, _one    a call; one of up to four rows; of one that lies in words
    dense_row, _piece, _byte, _copy  rows that are gathered: each; its pieces, single bytes, words
    dense_crossing            a word of taps of four rows that lie where they like
    dense_sum, _sum_word      rows that are summed: each; its words
    matmul_block, _word       four columns that are packed; a word of taps of them
    conv_padded_row, _pair    rows of an input that gets its padding; eight bytes of them
    conv_edge, conv_edge_row, _word   a window over an edge; its rows; its words of taps
    depthwise_column, _limits, _table, _pre   3 x 3: two results of four channels
    depthwise_pair, _strip, _run    their input; a strip of two rows; strips behind each other
    depthwise_half, _half_row       3 x 3, stride 2: a result of four channels; a row of them
    depthwise_word, _pixel, _window any kernel: words of taps; results of four channels; a window
    add_word, add_word_8, mul_word  four sums, the same with multipliers of 8 bits, four products
    table_word, scaled_item, prelu_item   four results of a table; a factor for every channel
    wide_item                 a sum of 16 bits
    flat_byte, _row, mul_row, _call   behind the last whole word; a turn of an outer loop; a call
    max_few, max_few_run, max_run     maxima of up to 4 taps, four channels; windows side by side,
                              for every 3 taps and at all
    max_tap, _word            any maxima: four channels of a tap; of a result
    average_of_4, _tap, _word, _run   averages in the same way; four taps side by side
    window_run                any windows side by side
    pool_tail, _tail_tap, _table, _call   single channels; their taps; a result's table; a call
    sums_word, _byte, _row    four numbers of a row that is added up; one; a row
    softmax_item, _row        an element of a row; a row; log_softmax and argmax in the same way
    attention_item, _bias, _row   an exponential; what is added to its score; a row of them
    attention_block, _result, _call  4 x 4 sums beside their words; a sum divided; a call
    magnitude_item            a root of two squares
    rotary_pair, _row         a pair of the rotary embedding; a row of them
    norm_item, _wide_item, _row   an element of layer and RMS norm, of 16 bits; a row
    rows_call                 a call of these
    wide_word, _block         results of 16 bits, gates too: 4 x 4 sums of a word; around them
    wide_row_word, _row, _call   four sums of a single row: a word; around them; a call
    wide_conv_word, _result      4 x 4 sums of two taps of 16 bits; a result of theirs
    wide_conv_item, _piece, _call   a tap that is gathered; a row of a window; a call
    recurrent_word, _unit     an instruction on a word of h; a gate of a unit
    recurrent_start, _run     a unit's first state; the units of a step, of one batch
    recurrent_step, _call     a step of time, or a part with a barrier; a call
    fourier_product, _bin, _call   a product of a transform; a result of the curve; a call
    copy_byte, _row           of a core: a byte that moves in order; bytes that lie together
    copy_odd, _rest, fill_byte   a byte of words that lie over two; behind the last word; filled
    turn_byte, _block, _run   in another order: a byte; 4 x 4 of them; bytes side by side
    turn_plane                the start of two loops that are turned
    move_call                 a call of these
    """

    network: float
    layer: float
    joined: float
    first_call: float
    first_dense: float
    first_row: float
    first_block: float
    first_copy: float
    first_table: float
    first_conv: float
    first_padded: float
    first_edge: float
    first_linear: float
    first_matmul: float
    first_depthwise: float
    first_add: float
    first_mul: float
    first_scaled: float
    first_wide: float
    first_max: float
    first_average: float
    first_sums: float
    first_norm: float
    first_softmax: float
    first_rotary: float
    first_magnitude: float
    first_gates: float
    first_wide_conv: float
    first_recurrent: float
    first_joined: float
    first_turned: float
    first_attention: float
    step: float
    haul: float
    dma_end: float
    dma_slowed: float
    dma_command: float
    dma_first: float
    dma_byte: float
    dma_line: float
    dma_out_line: float
    dma_contention: float
    dense_word: float
    dense_block: float
    dense_result: float
    dense_limits: float
    dense_odd: float
    dense_table: float
    dense_group: float
    dense_run: float
    dense_call: float
    dense_few: float
    dense_one: float
    dense_row: float
    dense_piece: float
    dense_byte: float
    dense_copy: float
    dense_crossing: float
    dense_sum: float
    dense_sum_word: float
    matmul_block: float
    matmul_word: float
    conv_padded: float
    conv_padded_row: float
    conv_padded_pair: float
    conv_edge: float
    conv_edge_row: float
    conv_edge_word: float
    depthwise_column: float
    depthwise_limits: float
    depthwise_table: float
    depthwise_pre: float
    depthwise_pair: float
    depthwise_strip: float
    depthwise_run: float
    depthwise_half: float
    depthwise_half_row: float
    depthwise_word: float
    depthwise_pixel: float
    depthwise_window: float
    depthwise_call: float
    add_word: float
    add_word_8: float
    mul_word: float
    table_word: float
    scaled_item: float
    prelu_item: float
    wide_item: float
    flat_byte: float
    flat_row: float
    mul_row: float
    flat_call: float
    max_few: float
    max_few_run: float
    max_run: float
    max_tap: float
    max_word: float
    average_of_4: float
    average_tap: float
    average_word: float
    average_run: float
    window_run: float
    pool_tail: float
    pool_tail_tap: float
    pool_table: float
    pool_call: float
    sums_word: float
    sums_byte: float
    sums_row: float
    softmax_item: float
    softmax_row: float
    log_softmax_item: float
    log_softmax_row: float
    argmax_item: float
    argmax_row: float
    attention_item: float
    attention_bias: float
    attention_row: float
    attention_block: float
    attention_result: float
    attention_call: float
    magnitude_item: float
    rotary_pair: float
    rotary_row: float
    norm_item: float
    norm_wide_item: float
    norm_row: float
    rows_call: float
    copy_byte: float
    copy_row: float
    copy_odd: float
    copy_rest: float
    fill_byte: float
    turn_byte: float
    turn_block: float
    turn_run: float
    turn_plane: float
    wide_word: float
    wide_block: float
    wide_row_word: float
    wide_row: float
    wide_call: float
    wide_conv_word: float
    wide_conv_result: float
    wide_conv_item: float
    wide_conv_piece: float
    wide_conv_call: float
    recurrent_word: float
    recurrent_unit: float
    recurrent_start: float
    recurrent_run: float
    recurrent_step: float
    recurrent_call: float
    move_call: float
    fourier_product: float
    fourier_bin: float
    fourier_call: float


GAP9_TILES = Prices(
    network=667.0,
    layer=188.0,
    joined=2.04,
    first_call=424.0,
    first_dense=0.182,
    first_row=557.0,
    first_block=573.0,
    first_copy=451.0,
    first_table=245.0,
    first_conv=524.0,
    first_padded=0.295,
    first_edge=147.0,
    first_linear=0.0116,
    first_matmul=659.0,
    first_depthwise=222.0,
    first_add=988.0,
    first_mul=621.0,
    first_scaled=412.0,
    first_wide=300.0,
    first_max=359.0,
    first_average=684.0,
    first_sums=0.114,
    first_norm=743.0,
    first_softmax=338.0,
    first_rotary=300.0,
    first_magnitude=537.0,
    first_gates=995.0,
    first_wide_conv=1540.0,
    first_recurrent=332.0,
    first_joined=323.0,
    first_turned=434.0,
    first_attention=1540.0,
    step=0.167,
    haul=733.0,
    dma_end=0.00922,
    dma_slowed=0.188,
    dma_command=85.0,
    dma_first=100.0,
    dma_byte=0.125,
    dma_line=0.923,
    dma_out_line=0.00931,
    dma_contention=0.00145,
    dense_word=25.0,
    dense_block=68.0,
    dense_result=3.21,
    dense_limits=0.5,
    dense_odd=1.18,
    dense_table=7.53,
    dense_group=86.2,
    dense_run=0.034,
    dense_call=2060.0,
    dense_few=1930.0,
    dense_one=709.0,
    dense_row=46.1,
    dense_piece=3.57,
    dense_byte=0.0083,
    dense_copy=2.24,
    dense_crossing=4.28,
    dense_sum=46.4,
    dense_sum_word=10.5,
    matmul_block=1240.0,
    matmul_word=0.0518,
    conv_padded=762.0,
    conv_padded_row=0.109,
    conv_padded_pair=18.9,
    conv_edge=542.0,
    conv_edge_row=0.0196,
    conv_edge_word=7.38,
    depthwise_column=60.0,
    depthwise_limits=8.0,
    depthwise_table=8.0,
    depthwise_pre=16.6,
    depthwise_pair=12.1,
    depthwise_strip=378.0,
    depthwise_run=247.0,
    depthwise_half=83.0,
    depthwise_half_row=282.0,
    depthwise_word=41.7,
    depthwise_pixel=40.2,
    depthwise_window=969.0,
    depthwise_call=1930.0,
    add_word=29.2,
    add_word_8=22.0,
    mul_word=39.8,
    table_word=12.8,
    scaled_item=11.8,
    prelu_item=24.4,
    wide_item=9.09,
    flat_byte=12.0,
    flat_row=79.7,
    mul_row=175.0,
    flat_call=162.0,
    max_few=11.3,
    max_few_run=174.0,
    max_run=94.9,
    max_tap=4.0,
    max_word=12.0,
    average_of_4=34.2,
    average_tap=7.08,
    average_word=10.3,
    average_run=239.0,
    window_run=426.0,
    pool_tail=56.0,
    pool_tail_tap=4.3,
    pool_table=12.0,
    pool_call=646.0,
    sums_word=2.59,
    sums_byte=67.1,
    sums_row=0.019,
    softmax_item=18.3,
    softmax_row=114.0,
    log_softmax_item=35.2,
    log_softmax_row=86.1,
    argmax_item=5.0,
    argmax_row=50.0,
    attention_item=14.4,
    attention_bias=5.5,
    attention_row=261.0,
    attention_block=68.3,
    attention_result=7.63,
    attention_call=1010.0,
    magnitude_item=139.0,
    rotary_pair=17.4,
    rotary_row=40.0,
    norm_item=10.2,
    norm_wide_item=14.1,
    norm_row=427.0,
    rows_call=409.0,
    copy_byte=0.455,
    copy_row=45.7,
    copy_odd=0.496,
    copy_rest=13.8,
    fill_byte=0.176,
    turn_byte=1.95,
    turn_block=25.6,
    turn_run=16.1,
    turn_plane=288.0,
    wide_word=24.8,
    wide_block=195.0,
    wide_row_word=13.3,
    wide_row=134.0,
    wide_call=323.0,
    wide_conv_word=23.5,
    wide_conv_result=34.4,
    wide_conv_item=4.21,
    wide_conv_piece=186.0,
    wide_conv_call=631.0,
    recurrent_word=0.987,
    recurrent_unit=34.0,
    recurrent_start=64.0,
    recurrent_run=76.0,
    recurrent_step=97.5,
    recurrent_call=1200.0,
    move_call=461.0,
    fourier_product=8.74,
    fourier_bin=87.4,
    fourier_call=2000.0,
)
