/* SPDX-License-Identifier: Apache-2.0
 * me_selective_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set OF_STEP, 0             /* me_channel_run */
    .set OF_DELTA_ZERO, 4
    .set OF_X_ZERO, 8
    .set OF_BOTH, 12
    .set OF_TERM, 16
    .set OF_HALF, 20
    .set OF_TERM_SHIFT, 24
    .set OF_PRE, 28
    .set OF_MULT, 32
    .set OF_SKIP, 36
    .set OF_OFFSET, 40
    .set OF_SHIFT, 44

/* a0 run, a1 own, a2 delta, a3 x, a4 steps */
me_function me_begin_channel
    lw a5, OF_STEP(a0)
    lw a6, OF_DELTA_ZERO(a0)
    lw a7, OF_X_ZERO(a0)
    lw t0, OF_TERM(a0)
    lw t1, OF_HALF(a0)
    lw t2, OF_TERM_SHIFT(a0)
    lw t5, OF_BOTH(a0)
    lp_setup 0, a4, .Lbegin_last
    p_lb_r t3, a5, a2
    p_lb_r t4, a5, a3
    sub t3, t3, a6
    p_max t3, t3, x0
    sub t4, t4, a7
    mul t4, t4, t3
    mul t3, t3, t5
    mul t4, t4, t0
    p_sw t3, 4, a1
    p_addN_r t4, t1, t2
    p_clip16 t4, t4
    pv_pack_h t4, t4, t4
    p_sw t4, 4, a1
.Lbegin_last:
    p_sw x0, 4, a1
    ret
me_end me_begin_channel

/* Updates four states: two words of decays, two of states (the upper halves also in separate registers).
 * a0 powers, a1 delta, a2 u, a3 reads, a5 the sum, a6 twice the index of the last power */
.macro move_four decay_0, decay_1, state_0, state_1, upper_0, upper_1, limit
    p_mulu t0, a1, \decay_0, 11
    p_mulhhu t1, a1, \decay_0, 11
    p_mulu t2, a1, \decay_1, 11
    p_mulhhu t3, a1, \decay_1, 11
.if \limit
    .irp place, t0, t1, t2, t3
    p_minu \place, \place, a6
    .endr
.endif
    .irp place, t0, t1, t2, t3
    andi \place, \place, -2
    .endr
    .irp place, t0, t1, t2, t3
    p_lhu_at \place, \place, a0
    .endr
    p_lw t4, 4, a3
    p_lw a7, 4, a3
    p_muls t5, a2, t4
    p_mulhhs t4, a2, t4
    p_muls t6, a2, a7
    p_mulhhs a7, a2, a7
    p_macsRN t5, t0, \state_0, 15
    p_macsRN t4, t1, \upper_0, 15
    p_macsRN t6, t2, \state_1, 15
    p_macsRN a7, t3, \upper_1, 15
    p_lw t0, 4, a3
    p_lw t1, 4, a3
    p_clip16 t5, t5
    p_clip16 \upper_0, t4
    p_clip16 t6, t6
    p_clip16 \upper_1, a7
    pv_pack_h \state_0, \upper_0, t5
    pv_pack_h \state_1, \upper_1, t6
    pv_sdotsp_h a5, \state_0, t0
    pv_sdotsp_h a5, \state_1, t1
.endm

/* a0 powers, a1 decays, a2 reads, a3 own, a4 states, a5 steps, a6 blocks; s0 .. s3 states of a block, s4
 * .. s7 their upper halves, s8 .. s11 their decays */
.macro move_states name, limit
me_function me_\name
    addi sp, sp, -64
    me_saved sw
    sw a5, 48(sp)
    sw a4, 56(sp)
    mv t3, a6
    mv a4, a3
    mv a3, a2
    li a6, 2 * 8192 - 1
.L\name\()_block:
    sw t3, 60(sp)
    lw s8, 0(a1)
    lw s9, 4(a1)
    lw s10, 8(a1)
    lw s11, 12(a1)
    addi a1, a1, 16
    sw a1, 52(sp)
    lw t0, 56(sp)
    lw t1, 48(sp)
    lw s0, 0(t0)
    lw s1, 4(t0)
    lw s2, 8(t0)
    lw s3, 12(t0)
    srai s4, s0, 16
    srai s5, s1, 16
    srai s6, s2, 16
    srai s7, s3, 16
    lp_setup 0, t1, .L\name\()_last
    p_lw a1, 4, a4
    p_lw a2, 4, a4
    lw a5, 0(a4)
    move_four s8, s9, s0, s1, s4, s5, \limit
    move_four s10, s11, s2, s3, s6, s7, \limit
.L\name\()_last:
    p_sw a5, 4, a4
    lw a1, 52(sp)
    lw t0, 56(sp)
    lw t1, 48(sp)
    lw t3, 60(sp)
    sw s0, 0(t0)
    sw s1, 4(t0)
    sw s2, 8(t0)
    sw s3, 12(t0)
    addi t0, t0, 16
    sw t0, 56(sp)
    /* back to the first step; on to the operands of the next block */
    slli t2, t1, 2
    sub a4, a4, t2
    slli t2, t1, 3
    sub a4, a4, t2
    slli t2, t1, 5
    sub a3, a3, t2
    addi a3, a3, 32 * 32
    addi t3, t3, -1
    bnez t3, .L\name\()_block
    me_saved lw
    addi sp, sp, 64
    ret
me_end me_\name
.endm

move_states move_states, 0
move_states move_limited_states, 1

/* a0 run, a1 own, a2 x, a3 y, a4 steps; with 2-byte results, y_step is twice the step of x */
.macro read_channel name, y_step, clip, store
    lw a5, OF_STEP(a0)
    lw a6, OF_PRE(a0)
    lw a7, OF_MULT(a0)
    lw t0, OF_SKIP(a0)
    lw t1, OF_OFFSET(a0)
    lw t2, OF_SHIFT(a0)
    addi a1, a1, 8
    slli t6, a5, 1
    lp_setup 0, a4, .L\name\()_last
    p_lw t3, 12, a1
    p_lb_r t4, a5, a2
    mv t5, t1
    sra t3, t3, a6
    p_mac t5, t4, t0
    p_mac t5, t3, a7
    sra t5, t5, t2
    \clip t5, t5
.L\name\()_last:
    \store t5, \y_step, a3
    ret
.endm

me_function me_read_channel
    read_channel read, a5, p_clip8, p_sb_r
me_end me_read_channel

me_function me_read_channel_wide
    read_channel read_wide, t6, p_clip16, p_sh_r
me_end me_read_channel_wide

#endif
