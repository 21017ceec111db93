# SPDX-License-Identifier: Apache-2.0
"""What the planner takes things to cost on GAP9, in cycles of the cluster clock.

Fitted: `python -m tests.layer_costs fit` runs the networks of tests/layer_networks.py on the
embedded simulator, finds the prices with which the model of plan/cost/timing.py comes closest to
the cycles of all their layers, and writes them below.
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
    code, code_run            a line of code that runs and is not in the caches; any in a tile
    step                      a barrier and what is around the call of a kernel
    haul                      to ask for a transfer between L3 and L2
    steer_tile                to tell the kernel of a layer's next tile
    steer_layer, _field       the same of the next layer; each number that it is told
    help                      of a tile that the core that steers computes as well
    steer_ahead               to fetch for a layer to come, beside the commands of that
    dma_command, dma_first    to start a command of the DMA; what its code takes more the first time
    dma_end                   from the last byte until the cores go on
    dma_byte                  moved
    dma_line, dma_out_line    every line of a transfer beside its bytes, into L1 and out of it
    dma_contention            a byte that is moved while cores compute: banks of L1 are shared
    dma_slowed                what the DMA loses of a cycle in which cores compute, likewise
    dense_word, dense_block   4 x 4 sums of a word of taps; around them
    dense_single, _pair       around sums of one row; of two blocks of them
    dense_limits, _odd        a result's limits; where the last block has fewer channels
    dense_table, _table_row   four results through their table; those side by side
    dense_group, _run         four rows at a time; rows that are gathered at once
    dense_ready               of a call what is over before operands are touched
    dense_call, _few, _one    a call; one of up to four rows; of one that lies in words
    dense_row, _piece, _byte, _copy  rows that are gathered: each; its pieces, single bytes, words
    dense_crossing            a word of taps of four rows that lie where they like
    dense_sum, _word, _byte   rows that are summed: each; its words; single bytes
    matmul_block, _word       four columns that are packed; an instruction of that
    conv_padded_row, _pair    rows of an input that gets its padding; eight bytes of them
    conv_edge, _row, _word, _byte   a window over an edge; its rows; words of taps; single ones
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
    window_run, window_side   any windows that are alike in a row; each, or each word of channels
    pool_tail, _tail_tap, _table, _call   single channels; their taps; a result's table; a call
    sums_word, _byte, _row    four numbers of a row that is added up; one; a row
    sums_call                 a call of these, or of sums of columns
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
    copy_plane                the start of two loops whose rows are copied, for each loop around
    turn_byte, _block, _run   in another order: a byte; 4 x 4 of them; bytes side by side
    turn_plane                the start of two loops that are turned, likewise
    move_call, move_part      a call of these; each of its sources, and what is filled
    """

    network: float
    layer: float
    joined: float
    code: float
    code_run: float
    step: float
    haul: float
    steer_tile: float
    steer_layer: float
    steer_field: float
    steer_ahead: float
    help: float
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
    dense_single: float
    dense_pair: float
    dense_limits: float
    dense_odd: float
    dense_table: float
    dense_table_row: float
    dense_group: float
    dense_run: float
    dense_ready: float
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
    dense_sum_byte: float
    matmul_block: float
    matmul_word: float
    conv_padded: float
    conv_padded_row: float
    conv_padded_pair: float
    conv_edge: float
    conv_edge_row: float
    conv_edge_word: float
    conv_edge_byte: float
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
    window_side: float
    pool_tail: float
    pool_tail_tap: float
    pool_table: float
    pool_call: float
    sums_word: float
    sums_byte: float
    sums_row: float
    sums_call: float
    softmax_item: float
    softmax_row: float
    log_softmax_item: float
    log_softmax_row: float
    argmax_item: float
    argmax_row: float
    attention_item: float
    attention_bias: float
    attention_hidden: float
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
    copy_plane: float
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
    move_part: float
    fourier_product: float
    fourier_bin: float
    fourier_call: float


GAP9_TILES = Prices(
    network=402.0,
    layer=0.285,
    joined=0.00992,
    code=14.7,
    code_run=4.34,
    step=41.5,
    haul=733.0,
    steer_tile=140.0,
    steer_layer=48.2,
    steer_field=16.3,
    steer_ahead=0.994,
    help=248.0,
    dma_end=0.00999,
    dma_slowed=0.213,
    dma_command=85.0,
    dma_first=58.7,
    dma_byte=0.125,
    dma_line=2.29,
    dma_out_line=0.0114,
    dma_contention=0.00114,
    dense_word=24.8,
    dense_block=123.0,
    dense_single=60.0,
    dense_pair=105.0,
    dense_limits=0.5,
    dense_odd=0.00498,
    dense_table=12.4,
    dense_table_row=65.4,
    dense_group=0.0186,
    dense_run=30.0,
    dense_ready=100.0,
    dense_call=350.0,
    dense_few=200.0,
    dense_one=140.0,
    dense_row=61.7,
    dense_piece=0.836,
    dense_byte=2.75,
    dense_copy=2.23,
    dense_crossing=9.37,
    dense_sum=256.0,
    dense_sum_word=2.4,
    dense_sum_byte=6.0,
    matmul_block=251.0,
    matmul_word=1.1,
    conv_padded=7.38,
    conv_padded_row=0.0338,
    conv_padded_pair=12.1,
    conv_edge=349.0,
    conv_edge_row=0.032,
    conv_edge_word=5.29,
    conv_edge_byte=0.0286,
    depthwise_column=45.8,
    depthwise_limits=8.0,
    depthwise_table=30.3,
    depthwise_pre=17.0,
    depthwise_pair=24.5,
    depthwise_strip=401.0,
    depthwise_run=183.0,
    depthwise_half=84.4,
    depthwise_half_row=366.0,
    depthwise_word=42.2,
    depthwise_pixel=40.3,
    depthwise_window=941.0,
    depthwise_call=180.0,
    add_word=30.2,
    add_word_8=22.0,
    mul_word=38.3,
    table_word=12.9,
    scaled_item=12.5,
    prelu_item=25.2,
    wide_item=8.41,
    flat_byte=12.0,
    flat_row=51.3,
    mul_row=146.0,
    flat_call=134.0,
    max_few=9.63,
    max_few_run=77.5,
    max_run=228.0,
    max_tap=4.0,
    max_word=12.0,
    average_of_4=34.0,
    average_tap=6.27,
    average_word=39.4,
    average_run=404.0,
    window_run=161.0,
    window_side=127.0,
    pool_tail=12.0,
    pool_tail_tap=14.1,
    pool_table=12.0,
    pool_call=90.2,
    sums_word=3.0,
    sums_byte=5.0,
    sums_row=50.0,
    sums_call=172.0,
    softmax_item=19.2,
    softmax_row=106.0,
    log_softmax_item=34.7,
    log_softmax_row=118.0,
    argmax_item=5.0,
    argmax_row=50.0,
    attention_item=9.89,
    attention_bias=5.5,
    attention_hidden=6.5,
    attention_row=843.0,
    attention_block=0.254,
    attention_result=0.126,
    attention_call=1430.0,
    magnitude_item=146.0,
    rotary_pair=17.4,
    rotary_row=40.0,
    norm_item=9.92,
    norm_wide_item=14.2,
    norm_row=408.0,
    rows_call=114.0,
    copy_byte=0.582,
    copy_row=38.0,
    copy_odd=0.785,
    copy_rest=13.8,
    copy_plane=90.0,
    fill_byte=0.22,
    turn_byte=2.24,
    turn_block=25.0,
    turn_run=34.2,
    turn_plane=231.0,
    wide_word=24.7,
    wide_block=183.0,
    wide_row_word=11.3,
    wide_row=108.0,
    wide_call=0.0338,
    wide_conv_word=23.8,
    wide_conv_result=34.9,
    wide_conv_item=3.1,
    wide_conv_piece=185.0,
    wide_conv_call=584.0,
    recurrent_word=1.05,
    recurrent_unit=29.1,
    recurrent_start=85.5,
    recurrent_run=64.1,
    recurrent_step=132.0,
    recurrent_call=91.0,
    move_call=22.8,
    move_part=115.0,
    fourier_product=8.74,
    fourier_bin=87.4,
    fourier_call=2000.0,
)
