/* SPDX-License-Identifier: Apache-2.0
 * me_depthwise_lines.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set FRAME, 48
    .set OF_X, 0                /* me_depthwise_run */
    .set OF_OFFSETS, 4
    .set OF_WEIGHTS, 8
    .set OF_ROWS, 12
    .set OF_WORDS, 16
    .set OF_Y, 20
    .set OF_Y_STEP, 24
    .set OF_N, 28
    .set OF_X_STEP, 32
    .set OF_LINES, 36
    .set OF_X_LINE, 40
    .set OF_Y_LINE, 44
    .set OF_BACK, 48
    .set OF_Y_BACK, 52
    .set OF_CHANNEL, 56
    .set OF_PRE, 60
    .set OF_LOW, 64
    .set OF_HIGH, 68
    .set OF_ZERO, 72
    .set OF_BIAS, 0             /* me_channel */
    .set OF_MULT, 4
    .set OF_OFFSET, 8
    .set OF_SHIFT, 12

/* a0 x, a1 x_step, a2 fours, a3 to, a4 line_bytes */
me_function me_depthwise_transpose
    add a5, a3, a4
    add a6, a5, a4
    add a7, a6, a4
    li t6, 0x03010200
    lp_setup 0, a2, .Lturn_last
    p_lw_r t0, a1, a0
    p_lw_r t1, a1, a0
    p_lw_r t2, a1, a0
    p_lw_r t3, a1, a0
    me_transpose_4x4 t0, t1, t2, t3, t4, t5, t6
    p_sw t0, 4, a3
    p_sw t5, 4, a5
    p_sw t2, 4, a6
.Lturn_last:
    p_sw t3, 4, a7
    ret
me_end me_depthwise_transpose

/* a1 x, a2 .. a4 one to three times the step, a5 .. a7 and s0 sums */
me_function me_depthwise_fours
    me_save_all FRAME
    lw s10, OF_CHANNEL(a0)
    lw a1, OF_X(a0)
    lw a2, OF_X_STEP(a0)
    lw s1, OF_ROWS(a0)
    lw s2, OF_WORDS(a0)
    lw s4, OF_Y(a0)
    lw s5, OF_Y_STEP(a0)
    lw s6, OF_N(a0)
    lw s7, OF_BIAS(s10)
    lw s8, OF_MULT(s10)
    lw s9, OF_OFFSET(s10)
    lw s10, OF_SHIFT(s10)
    lw s11, OF_PRE(a0)
    slli a3, a2, 1
    add a4, a3, a2
.Lfours_next:
    lw t1, OF_WEIGHTS(a0)
    lw s3, OF_OFFSETS(a0)
    mv a5, s7
    mv a6, s7
    mv a7, s7
    mv s0, s7
    lp_setup 1, s1, .Lfours_rows_last
    p_lw t0, 4, s3
    nop
    add t0, t0, a1
    lp_setup 0, s2, .Lfours_words_last
    p_lw t2, 16, t1
    p_lw_at t4, a2, t0
    p_lw_at t5, a3, t0
    p_lw_at t6, a4, t0
    p_lw t3, 4, t0
    pv_sdotsp_b a6, t4, t2
    pv_sdotsp_b a7, t5, t2
    pv_sdotsp_b s0, t6, t2
.Lfours_words_last:
    pv_sdotsp_b a5, t3, t2
    nop
.Lfours_rows_last:
    nop
    lw t1, OF_LOW(a0)
    lw t2, OF_HIGH(a0)
    lw t3, OF_ZERO(a0)
    .irp acc, a5, a6, a7, s0
    sra \acc, \acc, s11
    mul \acc, \acc, s8
    p_addN_r \acc, s9, s10
    p_max \acc, \acc, t1
    p_min \acc, \acc, t2
    .endr
    beqz t3, .Lfours_store
    .irp acc, a5, a6, a7, s0
    p_lb_at \acc, \acc, t3
    .endr
.Lfours_store:
    addi s6, s6, -4
    .irp acc, a5, a6, a7, s0
    p_sb_r \acc, s5, s4
    .endr
    add a1, a1, a3
    add a1, a1, a3
    bnez s6, .Lfours_next
    me_restore_all FRAME
    ret
me_end me_depthwise_fours

/* requantises with t3 mult, t4 offset, t5 shift; t6 pre, t0 low, t1 high */
.macro scaled acc, any
    .if \any
    sra \acc, \acc, t6
    .endif
    mul \acc, \acc, t3
    p_addN_r \acc, t4, t5
    .if \any
    p_max \acc, \acc, t0
    p_min \acc, \acc, t1
    .else
    p_clip8 \acc, \acc
    .endif
.endm

/* a1 x, a2 and a3 two consecutive words of a line, a4 .. a7 and s0 .. s3 sums, t3 .. t6 weights */
.macro eights name, any
me_function \name
    me_save_all FRAME
    lw a1, OF_X(a0)
    lw s6, OF_ROWS(a0)
    lw s7, OF_WORDS(a0)
    lw s9, OF_Y(a0)
    lw s10, OF_CHANNEL(a0)
    lw s11, OF_Y_STEP(a0)
.L\name\()_line:
    lw s8, OF_N(a0)
    addi s8, s8, 7
    srli s8, s8, 3
.L\name\()_next:
    lw a4, OF_BIAS(s10)
    lw t1, OF_WEIGHTS(a0)
    lw s5, OF_OFFSETS(a0)
    .irp acc, a5, a6, a7, s0, s1, s2, s3
    mv \acc, a4
    .endr
    lp_setup 1, s6, .L\name\()_rows_last
    p_lw t0, 4, s5
    nop
    add t0, t0, a1
    p_lw a2, 4, t0
    lp_setup 0, s7, .L\name\()_words_last
    p_lw t3, 4, t1
    p_lw t4, 4, t1
    p_lw t5, 4, t1
    p_lw t6, 4, t1
    p_lw a3, 4, t0
    pv_sdotsp_b a4, a2, t3
    pv_sdotsp_b a5, a2, t4
    pv_sdotsp_b a6, a2, t5
    pv_sdotsp_b a7, a2, t6
    pv_sdotsp_b s0, a3, t3
    pv_sdotsp_b s1, a3, t4
    pv_sdotsp_b s2, a3, t5
    pv_sdotsp_b s3, a3, t6
.L\name\()_words_last:
    mv a2, a3
    nop
.L\name\()_rows_last:
    nop
    lw t3, OF_MULT(s10)
    lw t4, OF_OFFSET(s10)
    lw t5, OF_SHIFT(s10)
    .if \any
    lw t6, OF_PRE(a0)
    lw t0, OF_LOW(a0)
    lw t1, OF_HIGH(a0)
    lw a2, OF_ZERO(a0)
    .endif
    .irp acc, a4, a5, a6, a7, s0, s1, s2, s3
    scaled \acc, \any
    .endr
    .if \any
    beqz a2, .L\name\()_store
    .irp acc, a4, a5, a6, a7, s0, s1, s2, s3
    p_lb_at \acc, \acc, a2
    .endr
.L\name\()_store:
    .endif
    addi s8, s8, -1
    addi a1, a1, 8
    .irp acc, a4, a5, a6, a7, s0, s1, s2, s3
    p_sb_r \acc, s11, s9
    .endr
    beqz s8, .L\name\()_end
    li t0, 1
    bne s8, t0, .L\name\()_next
    lw t0, OF_BACK(a0)
    lw t1, OF_Y_BACK(a0)
    sub a1, a1, t0
    sub s9, s9, t1
    j .L\name\()_next
.L\name\()_end:
    lw t0, OF_LINES(a0)
    lw a1, OF_X(a0)
    lw t1, OF_X_LINE(a0)
    lw s9, OF_Y(a0)
    lw t2, OF_Y_LINE(a0)
    addi t0, t0, -1
    add a1, a1, t1
    add s9, s9, t2
    sw t0, OF_LINES(a0)
    sw a1, OF_X(a0)
    sw s9, OF_Y(a0)
    bnez t0, .L\name\()_line
    me_restore_all FRAME
    ret
me_end \name
.endm

    eights me_depthwise_eights, 0
    eights me_depthwise_eights_any, 1

#endif
