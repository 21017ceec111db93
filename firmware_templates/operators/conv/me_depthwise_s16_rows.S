/* SPDX-License-Identifier: Apache-2.0
 * me_depthwise_s16_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set AT_X, 0                /* me_depthwise_row */
    .set AT_WEIGHTS, 4
    .set AT_CHANNELS, 8
    .set AT_Y, 12
    .set AT_N, 16
    .set AT_K_H, 20
    .set AT_K_W, 24
    .set AT_TAP_STEP, 28
    .set AT_ROW_STEP, 32
    .set AT_X_STEP, 36
    .set AT_Y_STEP, 40
    .set AT_Y_WIDE, 44
    .set AT_TWO, 48
    .set AT_PRE, 52
    .set AT_LOW, 56
    .set AT_HIGH, 60
    .set AT_BIAS, 0             /* me_channel; the next one 16 bytes on */
    .set AT_MULT, 4
    .set AT_OFFSET, 8
    .set AT_SHIFT, 12

/* requantises sums a and b of channel `at`, limited; s3 pre, s4 low, s5 high, s7 channels */
.macro finish a, b, at
    lw s0, AT_MULT + \at(s7)
    lw s1, AT_OFFSET + \at(s7)
    lw s2, AT_SHIFT + \at(s7)
    sra \a, \a, s3
    sra \b, \b, s3
    mul \a, \a, s0
    mul \b, \b, s0
    p_addN_r \a, s1, s2
    p_addN_r \b, s1, s2
    p_max \a, \a, s4
    p_max \b, \b, s4
    p_min \a, \a, s5
    p_min \b, \b, s5
.endm

/* a0 row: two results of two channels per iteration; a4 the first window, a7 number of remaining results,
 * s6 y */
me_function me_depthwise_sums_h
    addi sp, sp, -32
    me_saved sw, 8
    lw a4, AT_X(a0)
    lw a5, AT_TAP_STEP(a0)
    lw a6, AT_ROW_STEP(a0)
    lw a7, AT_N(a0)
    lw s3, AT_PRE(a0)
    lw s4, AT_LOW(a0)
    lw s5, AT_HIGH(a0)
    lw s6, AT_Y(a0)
    lw s7, AT_CHANNELS(a0)
.Ldepth_turn:
    mv a1, a4                   /* taps of both windows, which are one window at a row's end */
    mv a2, a4
    lw t5, AT_X_STEP(a0)
    addi a7, a7, -2
    bltz a7, .Ldepth_last_window
    add a2, a4, t5
.Ldepth_last_window:
    add a4, a2, t5
    lw a3, AT_WEIGHTS(a0)
    lw t0, AT_BIAS(s7)
    lw t1, AT_BIAS + 16(s7)
    lw t6, AT_K_H(a0)
    lw s0, AT_K_W(a0)
    mv t2, t0
    mv t3, t1
    lp_setup 1, t6, .Ldepth_row
    lp_setup 0, s0, .Ldepth_tap
    p_lw t4, 4, a3
    p_lw_r t5, a5, a1
    p_lw_r s1, a5, a2
    p_macs t0, t5, t4
    p_machhs t1, t5, t4
    p_macs t2, s1, t4
.Ldepth_tap:
    p_machhs t3, s1, t4
    add a1, a1, a6
.Ldepth_row:
    add a2, a2, a6
    finish t0, t2, 0
    finish t1, t3, 16
    lw t4, AT_Y_WIDE(a0)
    lw t5, AT_Y_STEP(a0)
    lw t6, AT_TWO(a0)
    add s0, s6, t5              /* the second window's results */
    bnez t4, .Ldepth_halves
    sb t0, 0(s6)
    beqz t6, 1f
    sb t1, 1(s6)
1:  bltz a7, .Ldepth_done
    sb t2, 0(s0)
    beqz t6, .Ldepth_next
    sb t3, 1(s0)
    j .Ldepth_next
.Ldepth_halves:
    sh t0, 0(s6)
    beqz t6, 1f
    sh t1, 2(s6)
1:  bltz a7, .Ldepth_done
    sh t2, 0(s0)
    beqz t6, .Ldepth_next
    sh t3, 2(s0)
.Ldepth_next:
    add s6, s0, t5
    bnez a7, .Ldepth_turn
.Ldepth_done:
    me_saved lw, 8
    addi sp, sp, 32
    ret
me_end me_depthwise_sums_h

/* a0 x, a1 n, a2 to, a3 wide */
me_function me_copy_to_halves
    andi a4, a1, 1
    srli a1, a1, 1
    beqz a3, .Lto_halves_bytes
    beqz a1, .Lto_halves_half
    lp_setup 0, a1, .Lto_halves_last
    p_lw t0, 4, a0
    nop
.Lto_halves_last:
    p_sw t0, 4, a2
.Lto_halves_half:
    beqz a4, .Lto_halves_done
    lh t0, 0(a0)
    sh t0, 0(a2)
    ret
.Lto_halves_bytes:
    beqz a1, .Lto_halves_byte
    lp_setup 0, a1, .Lto_halves_byte_last
    p_lb t0, 1, a0
    p_lb t1, 1, a0
    nop
    pv_pack_h t0, t1, t0
.Lto_halves_byte_last:
    p_sw t0, 4, a2
.Lto_halves_byte:
    beqz a4, .Lto_halves_done
    lb t0, 0(a0)
    sh t0, 0(a2)
.Lto_halves_done:
    ret
me_end me_copy_to_halves

#endif
