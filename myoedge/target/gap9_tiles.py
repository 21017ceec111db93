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

    layer                     from the end of a layer to the start of the next
    first_*                   a kernel's first call in a layer: its code is not in the caches
    step                      a barrier and what is around the call of a kernel
    dma_start, dma_command    until the first byte comes; every command of the DMA
    dma_byte, dma_line        moved; every line of a transfer beside its bytes
    dma_contention            a byte that is moved while cores compute: banks of L1 are shared
    dense_word, dense_block   4 x 4 sums of a word of taps; around them
    dense_result, _limits, _table    a result of a block; its limits; its table
    dense_group, _run         four rows at a time; rows that are gathered at once
    dense_call, _few, _one    a call; one of up to four rows; of one that lies in words
    dense_row, _piece, _byte, _copy  rows that are gathered: each; its pieces, single bytes, words
    dense_crossing            a word of taps of four rows that lie where they like
    dense_sum, _sum_word      rows that are summed: each; its words
    matmul_block, _word       four columns that are packed; a word of taps of them
    conv_padded_row, _pair    rows of an input that gets its padding; eight bytes of them
    conv_edge, conv_edge_row  a window over an edge; its rows
    depthwise_column, _limits, _table, _pre   3 x 3: two results of four channels
    depthwise_pair, _strip, _run    their input; a strip of two rows; strips behind each other
    depthwise_half, _half_row       3 x 3, stride 2: a result of four channels; a row of them
    depthwise_word, _pixel, _window any kernel: words of taps; results of four channels; a window
    add_word, add_word_8, mul_word  four sums, the same with multipliers of 8 bits, four products
    table_word, scaled_item, prelu_item   four results of a table; a factor for every channel
    wide_item                 a sum of 16 bits
    flat_byte, _row, _call    behind the last whole word; a turn of an outer loop; a call
    max_few, max_few_run      maxima of up to 4 taps, four channels; windows side by side
    max_tap, _word, _run      any maxima: four channels of a tap; of a result; windows
    average_of_4, _tap, _word, _run   averages in the same way
    pool_tail, _tail_tap, _table, _call   single channels; their taps; a result's table; a call
    sums_word, _byte, _row    four numbers of a row that is added up; one; a row
    softmax_item, _row        an element of a row; a row; log_softmax and argmax in the same way
    attention_item, _bias, _row   an exponential; what is added to its score; a row of them
    attention_block, _result, _call  4 x 4 sums beside their words; a sum divided; a call
    rotary_pair, _row         a pair of the rotary embedding; a row of them
    norm_item, _wide_item, _row   an element of layer and RMS norm, of 16 bits; a row
    rows_call                 a call of these
    gates_word, _block        4 x 4 sums of a word of taps; around them
    recurrent_word, _unit     an instruction on a word of h; a gate of a unit
    recurrent_step, _call     a step of time, or a part with a barrier; a call
    fourier_product, _bin, _call   a product of a transform; a result of the curve; a call
    copy_byte, turn_byte      of all cores: a byte that moves in order, in another one
    copy_row                  of bytes that lie together
    move_call                 a call of these
    """

    layer: float
    first_call: float
    first_dense: float
    first_block: float
    first_copy: float
    first_table: float
    first_conv: float
    first_linear: float
    first_matmul: float
    first_depthwise: float
    first_flat: float
    first_pool: float
    first_rows: float
    first_attention: float
    step: float
    dma_start: float
    dma_command: float
    dma_byte: float
    dma_line: float
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
    flat_call: float
    max_few: float
    max_few_run: float
    max_tap: float
    max_word: float
    max_run: float
    average_of_4: float
    average_tap: float
    average_word: float
    average_run: float
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
    rotary_pair: float
    rotary_row: float
    norm_item: float
    norm_wide_item: float
    norm_row: float
    rows_call: float
    copy_byte: float
    copy_row: float
    turn_byte: float
    gates_word: float
    gates_block: float
    recurrent_word: float
    recurrent_unit: float
    recurrent_step: float
    recurrent_call: float
    move_call: float
    fourier_product: float
    fourier_bin: float
    fourier_call: float


GAP9_TILES = Prices(
    layer=128.0,
    first_call=424.0,
    first_dense=0.144,
    first_block=194.0,
    first_copy=667.0,
    first_table=176.0,
    first_conv=771.0,
    first_linear=119.0,
    first_matmul=672.0,
    first_depthwise=357.0,
    first_flat=0.0876,
    first_pool=82.7,
    first_rows=1.82,
    first_attention=1530.0,
    step=0.0734,
    dma_start=0.00887,
    dma_command=171.0,
    dma_byte=0.125,
    dma_line=0.000201,
    dma_contention=0.00248,
    dense_word=24.8,
    dense_block=124.0,
    dense_result=9.69e-07,
    dense_limits=0.5,
    dense_odd=1.11,
    dense_table=7.32,
    dense_group=82.5,
    dense_run=0.0391,
    dense_call=2260.0,
    dense_few=2050.0,
    dense_one=871.0,
    dense_row=61.4,
    dense_piece=3.78,
    dense_byte=0.029,
    dense_copy=2.05,
    dense_crossing=5.42,
    dense_sum=79.5,
    dense_sum_word=6.99,
    matmul_block=1200.0,
    matmul_word=0.0822,
    conv_padded=527.0,
    conv_padded_row=2.47,
    conv_padded_pair=20.7,
    conv_edge=1780.0,
    conv_edge_row=0.246,
    depthwise_column=67.5,
    depthwise_limits=8.0,
    depthwise_table=8.0,
    depthwise_pre=15.8,
    depthwise_pair=5.97,
    depthwise_strip=361.0,
    depthwise_run=297.0,
    depthwise_half=82.9,
    depthwise_half_row=271.0,
    depthwise_word=40.6,
    depthwise_pixel=40.1,
    depthwise_window=1070.0,
    depthwise_call=1780.0,
    add_word=33.0,
    add_word_8=22.0,
    mul_word=42.0,
    table_word=11.7,
    scaled_item=11.4,
    prelu_item=23.4,
    wide_item=8.71,
    flat_byte=12.0,
    flat_row=93.9,
    flat_call=467.0,
    max_few=12.2,
    max_few_run=89.1,
    max_tap=4.0,
    max_word=12.0,
    max_run=60.0,
    average_of_4=32.1,
    average_tap=6.67,
    average_word=58.8,
    average_run=404.0,
    pool_tail=65.0,
    pool_tail_tap=4.81,
    pool_table=12.0,
    pool_call=1320.0,
    sums_word=4.74e-07,
    sums_byte=71.4,
    sums_row=0.00774,
    softmax_item=20.4,
    softmax_row=53.8,
    log_softmax_item=35.2,
    log_softmax_row=86.1,
    argmax_item=5.0,
    argmax_row=50.0,
    attention_item=13.2,
    attention_bias=5.5,
    attention_row=252.0,
    attention_block=65.2,
    attention_result=7.39,
    attention_call=987.0,
    rotary_pair=17.4,
    rotary_row=40.0,
    norm_item=9.69,
    norm_wide_item=17.8,
    norm_row=664.0,
    rows_call=807.0,
    copy_byte=0.0822,
    copy_row=46.3,
    turn_byte=0.319,
    gates_word=15.7,
    gates_block=0.465,
    recurrent_word=1.02,
    recurrent_unit=34.0,
    recurrent_step=250.0,
    recurrent_call=3860.0,
    move_call=657.0,
    fourier_product=4.0,
    fourier_bin=30.0,
    fourier_call=600.0,
)
