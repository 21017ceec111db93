/* SPDX-License-Identifier: Apache-2.0
 * me_depthwise_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set FRAME, 48
    .set OF_BIAS, 0             /* me_channel */
    .set OF_MULT, 4
    .set OF_OFFSET, 8
    .set OF_SHIFT, 12

/* a0 a, a1 b, a2 a_step, a3 b_step, a4 to, a5 channel_bytes, a6 n */
me_function me_depthwise_pairs
    add a7, a4, a5
    add t0, a7, a5
    add t1, t0, a5
    li t2, 0x03010200
    lp_setup 0, a6, .Lpairs_last
    p_lw_r t3, a2, a0
    p_lw_r t4, a3, a1
    srli t5, t3, 16
    pv_pack_h t6, t4, t3        /* a0 a1 b0 b1 */
    p_insert_low t4, t5         /* a2 a3 b2 b3 */
    pv_shuffle_b t6, t6, t2
    pv_shuffle_b t4, t4, t2
    p_sh t6, 4, a4
    p_sh t4, 4, t0
    srli t6, t6, 16
    srli t4, t4, 16
    p_sh t6, 4, a7
.Lpairs_last:
    p_sh t4, 4, t1
    ret
me_end me_depthwise_pairs

    .set OF_VECTORS, 0          /* me_depthwise_two */
    .set OF_CHANNEL_BYTES, 4
    .set OF_WEIGHTS, 8
    .set OF_CHANNELS, 12
    .set OF_UPPER, 16
    .set OF_LOWER, 20
    .set OF_Y_STEP, 24
    .set OF_THIRDS, 28
    .set OF_REST, 32
    .set OF_TURN, 36
    .set OF_PRE, 40
    .set OF_LOW, 44
    .set OF_HIGH, 48
    .set OF_ZERO, 52

/* Sums of one column of results, and storing the upper one: three vectors, of which v2 is loaded here.
 * Weights of the upper result in s0 .. s2, of the lower result in s3 .. s5. */
.macro two_results v0, v1, v2, pre, limits, table
    p_lw \v2, 4, t5
    pv_dotsp_b t3, \v0, s0
    pv_dotsp_b t4, \v0, s3
    pv_sdotsp_b t3, \v1, s1
    pv_sdotsp_b t4, \v1, s4
    pv_sdotsp_b t3, \v2, s2
    pv_sdotsp_b t4, \v2, s5
.if \pre
    p_addN_r t3, s6, a5
    p_addN_r t4, s6, a5
.endif
    mul t3, t3, s7
    mul t4, t4, s7
    p_addN_r t3, s8, s9
    p_addN_r t4, s8, s9
.if \limits
    p_max t3, t3, a6
    p_max t4, t4, a6
    p_min t3, t3, a7
    p_min t4, t4, a7
.else
    p_clip8 t3, t3
    p_clip8 t4, t4
.endif
.if \table
    p_lb_at t3, t3, s10
    p_lb_at t4, t4, s10
.endif
.endm

/* Stores the lower result first: both have the same address if there is no lower row. Without `pre` the
 * offset includes the bias: (acc + bias) * mult + offset = acc * mult + (bias * mult + offset) modulo
 * 2^32. */
.macro strip name, pre, limits, table
me_function \name
    me_save_all FRAME
    .option rvc
    lw a3, OF_Y_STEP(a0)
    lw a4, OF_VECTORS(a0)
    lw a6, OF_LOW(a0)
    lw a7, OF_HIGH(a0)
.if \pre
    lw a5, OF_PRE(a0)
    lw s10, OF_ZERO(a0)
.else                           /* free registers, used as pointers */
    lw a5, OF_CHANNELS(a0)
    lw s10, OF_WEIGHTS(a0)
.endif
    li s11, 0
.Lchannel\@:
.if \pre
    lw a1, OF_WEIGHTS(a0)
    slli t1, s11, 2
    add a1, a1, t1
    lw s0, 0(a1)
    lw s1, 16(a1)
    lw s2, 32(a1)
.else
    lw s1, 16(s10)
    lw s2, 32(s10)
    p_lw s0, 4, s10
.endif
    lw a1, OF_TURN(a0)
    slli s3, s0, 8
    slli s4, s1, 8
    slli s5, s2, 8
    beqz a1, .Lin_order\@
    p_ror s0, s0, a1
    p_ror s1, s1, a1
    p_ror s2, s2, a1
    p_ror s3, s3, a1
    p_ror s4, s4, a1
    p_ror s5, s5, a1
.Lin_order\@:
.if \pre
    lw a1, OF_CHANNELS(a0)
    slli t1, s11, 4
    add a1, a1, t1
    lw s6, OF_BIAS(a1)
    lw s7, OF_MULT(a1)
    lw s8, OF_OFFSET(a1)
    lw s9, OF_SHIFT(a1)
.else
    lw s6, OF_BIAS(a5)
    lw s7, OF_MULT(a5)
    lw s8, OF_OFFSET(a5)
    lw s9, OF_SHIFT(a5)
    addi a5, a5, 16
.endif
.if \pre == 0
    p_mac s8, s6, s7
.endif
    lw a1, OF_UPPER(a0)
    lw a2, OF_LOWER(a0)
    lw t6, OF_THIRDS(a0)
    add a1, a1, s11
    add a2, a2, s11
    mv t5, a4
    p_lw t0, 4, t5
    p_lw t1, 4, t5
    beqz t6, .Lrest\@
    .option norvc
    me_word_start
    lp_setup 0, t6, .Lthirds_last\@
    two_results t0, t1, t2, \pre, \limits, \table
    p_sb_r t4, a3, a2
    p_sb_r t3, a3, a1
    two_results t1, t2, t0, \pre, \limits, \table
    p_sb_r t4, a3, a2
    p_sb_r t3, a3, a1
    two_results t2, t0, t1, \pre, \limits, \table
    p_sb_r t4, a3, a2
.Lthirds_last\@:
    p_sb_r t3, a3, a1
.Lrest\@:
    lw t6, OF_REST(a0)
    beqz t6, .Lnext\@
    me_word_start
    lp_setup 0, t6, .Lrest_last\@
    two_results t0, t1, t2, \pre, \limits, \table
    p_sb_r t4, a3, a2
    p_sb_r t3, a3, a1
    mv t0, t1
.Lrest_last\@:
    mv t1, t2
.Lnext\@:
    .option rvc
    lw a1, OF_CHANNEL_BYTES(a0)
    addi s11, s11, 1
    li t0, 4
    add a4, a4, a1
    bne s11, t0, .Lchannel\@
    me_restore_all FRAME
    ret
    .option norvc
me_end \name
.endm

strip me_depthwise_strip, 0, 0, 0
strip me_depthwise_strip_limits, 0, 1, 0
strip me_depthwise_strip_pre, 1, 1, 0
strip me_depthwise_strip_table, 1, 1, 1

    .set OF_ROWS, 0             /* me_depthwise_halving */
    .set OF_STEPS, 12
    .set OF_ROW_Y, 24
    .set OF_ROW_Y_STEP, 28
    .set OF_N, 32
    .set OF_TAIL, 36
    .set OF_FIRST, 40
    .set OF_PADDING, 44
    .set OF_ROW_WEIGHTS, 48
    .set OF_ROW_CHANNELS, 52
    .set OF_COUNT, 56
    .set OF_ROW_PRE, 60
    .set OF_ROW_LOW, 64
    .set OF_ROW_HIGH, 68
    .set OF_ROW_ZERO, 72
    .set OF_ROW_COUNT, 76
    .set OF_DOWN, 80

/* Loads the next column: bytes of the three rows; lane 3 is arbitrary, its weight is 0. */
.macro load_column t
    p_lb_r \t, a4, a1
    p_lb_r t4, a5, a2
    p_lb_r t5, a6, a3
.endm
.macro pack_column t
    pv_packlo_b \t, t4, \t
    pv_packhi_b \t, t5, t5
.endm

/* stores the sum in t3; t6 is the table's entry for 0, or 0 without a table */
.macro store_row
    p_addN_r t3, s3, s7
    mul t3, t3, s4
    mv t0, t2
    p_addN_r t3, s5, s6
    p_max t3, t3, s8
    p_min t3, t3, s9
.endm

.macro halving_body table, last
    load_column t1
    pv_dotsp_b t3, t0, s0
    pack_column t1
    load_column t2
    pv_sdotsp_b t3, t1, s1
    pack_column t2
    pv_sdotsp_b t3, t2, s2
    store_row
.if \table
    p_lb_at t3, t3, t6
.endif
.endm

.macro halving_rows table
.Lrow_channel\@:
    lw t0, OF_ROW_WEIGHTS(a0)
    slli t1, s11, 2
    add t0, t0, t1
    lw s0, 0(t0)
    lw s1, 16(t0)
    lw s2, 32(t0)
    lw t0, OF_ROW_CHANNELS(a0)
    slli t1, s11, 4
    add t0, t0, t1
    lw s3, OF_BIAS(t0)
    lw s4, OF_MULT(t0)
    lw s5, OF_OFFSET(t0)
    lw s6, OF_SHIFT(t0)
    lw a1, OF_ROWS(a0)
    lw a2, OF_ROWS + 4(a0)
    lw a3, OF_ROWS + 8(a0)
    lw a7, OF_ROW_Y(a0)
    add a1, a1, s11
    add a2, a2, s11
    add a3, a3, s11
    add a7, a7, s11
    lw t1, OF_FIRST(a0)
    lw t0, OF_PADDING(a0)
    beqz t1, .Lrow_start\@
    load_column t0
    nop
    pack_column t0
.Lrow_start\@:
    lw t3, OF_N(a0)
    beqz t3, .Lrow_tail\@
    mv t2, t3
    lp_setup 0, t2, .Lrow_last\@
    halving_body \table
.Lrow_last\@:
    p_sb_r t3, s10, a7
.Lrow_tail\@:
    lw t3, OF_TAIL(a0)
    beqz t3, .Lrow_next\@
    load_column t1
    pv_dotsp_b t3, t0, s0
    pack_column t1
    lw t2, OF_PADDING(a0)
    pv_sdotsp_b t3, t1, s1
    pv_sdotsp_b t3, t2, s2
    store_row
.if \table
    p_lb_at t3, t3, t6
.endif
    p_sb_r t3, s10, a7
.Lrow_next\@:
    lw t0, OF_COUNT(a0)
    addi s11, s11, 1
    bne s11, t0, .Lrow_channel\@
.endm

me_function me_depthwise_row_2
    me_save_all FRAME
    lw a4, OF_STEPS(a0)
    lw a5, OF_STEPS + 4(a0)
    lw a6, OF_STEPS + 8(a0)
    lw s7, OF_ROW_PRE(a0)
    lw s8, OF_ROW_LOW(a0)
    lw s9, OF_ROW_HIGH(a0)
    lw s10, OF_ROW_Y_STEP(a0)
    lw t6, OF_ROW_ZERO(a0)
    li s11, 0
    bnez t6, .Lrow_table
    halving_rows 0
    me_restore_all FRAME
    ret
.Lrow_table:
    halving_rows 1
    me_restore_all FRAME
    ret
me_end me_depthwise_row_2

    .set HALVING_FRAME, 80      /* saved registers; ra, struct, channel, rows left, row starts */
    .set AT_RA, 48
    .set AT_STRUCT, 52
    .set AT_CHANNEL, 56
    .set AT_LEFT, 60
    .set AT_STARTS, 64

/* One result of each of two channels, whose bytes are adjacent. Words of taps: rows 0 and 1 of a column;
 * columns 0 and 1 of row 2; column 2 of row 2. t3 holds column 0, then column 2; t4 holds row 2 of column
 * 0, then of column 2. Weights of the first channel in s0 .. s2, s3, s4, of the second in s5 .. s9, with 0
 * in the bytes of the other channel. */
.macro two_channels tail
    p_lh_r t0, a4, a1
    p_lh_r t1, a4, a2
    p_lh_r t2, a4, a3
    pv_pack_h t0, t1, t0
    pv_pack_h t2, t2, t4
    pv_dotsp_b t5, t0, s1
    pv_dotsp_b t1, t0, s6
    pv_sdotsp_b t5, t2, s3
    pv_sdotsp_b t1, t2, s8
.if \tail
    lw t4, AT_STRUCT(sp)
    lw t4, OF_PADDING(t4)
.else
    p_lh_r t0, a4, a1
    p_lh_r t2, a4, a2
    p_lh_r t4, a4, a3
.endif
    pv_sdotsp_b t5, t3, s0
    pv_sdotsp_b t1, t3, s5
.if \tail
    mv t3, t4
.else
    pv_pack_h t3, t2, t0
.endif
    pv_sdotsp_b t5, t3, s2
    pv_sdotsp_b t1, t3, s7
    pv_sdotsp_b t5, t4, s4
    pv_sdotsp_b t1, t4, s9
    mul t5, t5, s10
    mul t1, t1, s11
    p_addN_r t5, a7, a0
    p_addN_r t1, t6, ra
    p_clip8 t5, t5
    p_clip8 t1, t1
    pv_packlo_b t5, t1, t5
.endm

/* two channels per iteration, with weights from t0 on */
.macro weights_of_two
    lw t3, 0(t0)
    lw t4, 16(t0)
    lw t5, 32(t0)
    lw a1, 4(t0)
    lw a2, 20(t0)
    lw a3, 36(t0)
    li t1, 0x03010300
    pv_shuffle_b s0, t3, t1
    pv_shuffle_b s1, t4, t1
    pv_shuffle_b s2, t5, t1
    li t1, 0x01030003
    pv_shuffle_b s5, a1, t1
    pv_shuffle_b s6, a2, t1
    pv_shuffle_b s7, a3, t1
    li t1, 0x03030302
    pv_shuffle_b t3, t3, t1
    pv_shuffle_b t4, t4, t1
    pv_shuffle_b s4, t5, t1
    pv_pack_h s3, t4, t3
    li t1, 0x03030203
    pv_shuffle_b a1, a1, t1
    pv_shuffle_b a2, a2, t1
    pv_shuffle_b s9, a3, t1
    pv_pack_h s8, a2, a1
.endm

me_function me_depthwise_rows_2
    me_save_all HALVING_FRAME
    sw ra, AT_RA(sp)
    sw a0, AT_STRUCT(sp)
    li t2, 0
.Lpair:
    sw t2, AT_CHANNEL(sp)
    lw t0, OF_ROW_WEIGHTS(a0)
    slli t1, t2, 2
    add t0, t0, t1
    weights_of_two
    lw t5, OF_ROW_CHANNELS(a0)
    slli t1, t2, 4
    add t5, t5, t1
    lw t0, OF_BIAS(t5)
    lw s10, OF_MULT(t5)
    lw a7, OF_OFFSET(t5)
    lw t1, OF_BIAS + 16(t5)
    lw s11, OF_MULT + 16(t5)
    lw t6, OF_OFFSET + 16(t5)
    lw ra, OF_SHIFT + 16(t5)
    p_mac a7, t0, s10           /* as in macro strip */
    p_mac t6, t1, s11
    lw a1, OF_ROWS(a0)
    lw a2, OF_ROWS + 4(a0)
    lw a3, OF_ROWS + 8(a0)
    lw a4, OF_STEPS(a0)
    lw a5, OF_ROW_Y(a0)
    lw a6, OF_ROW_Y_STEP(a0)
    lw t0, OF_ROW_COUNT(a0)
    add a1, a1, t2
    add a2, a2, t2
    add a3, a3, t2
    add a5, a5, t2
    lw a0, OF_SHIFT(t5)
.Lpair_row:
    sw t0, AT_LEFT(sp)
    sw a1, AT_STARTS(sp)
    sw a2, AT_STARTS + 4(sp)
    sw a3, AT_STARTS + 8(sp)
    lw t0, AT_STRUCT(sp)
    lw t1, OF_N(t0)
    lw t3, OF_PADDING(t0)
    lw t0, OF_FIRST(t0)
    mv t4, t3
    beqz t0, .Lpair_start
    p_lh_r t0, a4, a1
    p_lh_r t3, a4, a2
    p_lh_r t4, a4, a3
    pv_pack_h t3, t3, t0
.Lpair_start:
    beqz t1, .Lpair_tail
    me_word_start
    lp_setup 0, t1, .Lpair_last
    two_channels 0
.Lpair_last:
    p_sh_r t5, a6, a5
.Lpair_tail:
    lw t0, AT_STRUCT(sp)
    lw t0, OF_TAIL(t0)
    beqz t0, .Lpair_next
    two_channels 1
    p_sh_r t5, a6, a5
.Lpair_next:
    lw t2, AT_STRUCT(sp)
    lw a1, AT_STARTS(sp)
    lw a2, AT_STARTS + 4(sp)
    lw a3, AT_STARTS + 8(sp)
    lw t1, OF_DOWN(t2)
    lw t0, AT_LEFT(sp)
    add a1, a1, t1
    add a2, a2, t1
    add a3, a3, t1
    addi t0, t0, -1
    bnez t0, .Lpair_row
    mv a0, t2
    lw t2, AT_CHANNEL(sp)
    xori t2, t2, 2
    bnez t2, .Lpair
    lw ra, AT_RA(sp)
    me_restore_all HALVING_FRAME
    ret
me_end me_depthwise_rows_2

    .set OF_TAPS, 0             /* me_depthwise_any */
    .set OF_BLOCKS, 4
    .set OF_ANY_WEIGHTS, 8
    .set OF_ANY_CHANNELS, 12
    .set OF_ANY_Y, 16
    .set OF_ANY_FIRST, 20
    .set OF_GROUPS, 24
    .set OF_LAST, 28
    .set OF_ANY_PRE, 32
    .set OF_ANY_LOW, 36
    .set OF_ANY_HIGH, 40
    .set OF_ANY_ZERO, 44
    .set OF_CORNER, 48

/* requantises the sum of channel j in place, before the table; a5: the channel's me_channel */
.macro any_result acc, j
    lw t0, OF_BIAS + 16 * \j(a5)
    lw t1, OF_MULT + 16 * \j(a5)
    lw t2, OF_OFFSET + 16 * \j(a5)
    p_addN_r \acc, t0, s4
    mul \acc, \acc, t1
    lw t3, OF_SHIFT + 16 * \j(a5)
    p_addN_r \acc, t2, t3
    p_max \acc, \acc, s5
    p_min \acc, \acc, s6
.endm

me_function me_depthwise_pixel
    me_save_all FRAME
    lw a2, OF_ANY_FIRST(a0)
    lw a3, OF_ANY_WEIGHTS(a0)
    lw s8, OF_BLOCKS(a0)
    lw s9, OF_GROUPS(a0)
    lw s4, OF_ANY_PRE(a0)
    lw s5, OF_ANY_LOW(a0)
    lw s6, OF_ANY_HIGH(a0)
    lw s7, OF_ANY_ZERO(a0)
    lw a6, OF_LAST(a0)
    lw s11, OF_TAPS(a0)
    lw s10, OF_CORNER(a0)
    li a4, 0x03010200
.Lany_group:
    p_min a2, a2, a6
    mv a1, s11
    add a7, a2, s10
    li s0, 0
    li s1, 0
    li s2, 0
    li s3, 0
    mv t0, s8
    lp_setup 0, t0, .Lany_last
    p_lw t0, 4, a1
    p_lw t1, 4, a1
    p_lw t2, 4, a1
    p_lw t3, 4, a1
    p_lw_at t0, a7, t0
    p_lw_at t1, a7, t1
    p_lw_at t2, a7, t2
    p_lw_at t3, a7, t3
    me_transpose_4x4 t0, t1, t2, t3, t4, t5, a4
    p_lw t6, 4, a3
    p_lw t4, 4, a3
    pv_sdotsp_b s0, t0, t6
    pv_sdotsp_b s1, t5, t4
    p_lw t6, 4, a3
    p_lw t4, 4, a3
    pv_sdotsp_b s2, t2, t6
.Lany_last:
    pv_sdotsp_b s3, t3, t4
    lw a5, OF_ANY_CHANNELS(a0)
    lw a7, OF_ANY_Y(a0)
    slli t0, a2, 4
    add a5, a5, t0
    add a7, a7, a2
    any_result s0, 0
    any_result s1, 1
    any_result s2, 2
    any_result s3, 3
    beqz s7, .Lany_store
    p_lb_at s0, s0, s7
    p_lb_at s1, s1, s7
    p_lb_at s2, s2, s7
    p_lb_at s3, s3, s7
.Lany_store:
    p_sb s0, 1, a7
    p_sb s1, 1, a7
    p_sb s2, 1, a7
    p_sb s3, 1, a7
    addi a2, a2, 4
    addi s9, s9, -1
    bnez s9, .Lany_group
    me_restore_all FRAME
    ret
me_end me_depthwise_pixel

#endif
