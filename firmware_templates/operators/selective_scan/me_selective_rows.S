/* SPDX-License-Identifier: Apache-2.0
 * me_selective_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set OF_STEP, 0             /* me_channel_run */
    .set OF_DELTA_ZERO, 4
    .set OF_X_ZERO, 8
    .set OF_TERM, 12
    .set OF_HALF, 16
    .set OF_TERM_SHIFT, 20
    .set OF_PRE, 24
    .set OF_MULT, 28
    .set OF_SKIP, 32
    .set OF_OFFSET, 36
    .set OF_SHIFT, 40

/* a0 run, a1 own, a2 delta, a3 x, a4 steps */
me_function me_begin_channel
    lw a5, OF_STEP(a0)
    lw a6, OF_DELTA_ZERO(a0)
    lw a7, OF_X_ZERO(a0)
    lw t0, OF_TERM(a0)
    lw t1, OF_HALF(a0)
    lw t2, OF_TERM_SHIFT(a0)
    lp_setup 0, a4, .Lbegin_last
    p_lb_r t3, a5, a2
    p_lb_r t4, a5, a3
    sub t3, t3, a6
    p_max t3, t3, x0
    sub t4, t4, a7
    mul t4, t4, t3
    p_sw t3, 4, a1
    mul t4, t4, t0
    p_addN_r t4, t1, t2
    p_clip16 t4, t4
    pv_pack_h t4, t4, t4
    p_sw t4, 4, a1
.Lbegin_last:
    p_sw x0, 4, a1
    ret
me_end me_begin_channel

/* a0 halves, a1 decays, a2 up, a3 reads, a4 own, a5 states, a6 steps, a7 blocks; s0 .. s3 are the states
 * of a block, s4 .. s7 their decays, s8 the most halvings, s11 counts blocks */
me_function me_move_states
    addi sp, sp, -64
    me_saved sw
    sw a2, 48(sp)
    mv s11, a7
    li s8, 0x7ffffff
.Lmove_block:
    lw a2, 48(sp)
    lhu s4, 0(a1)
    lhu s5, 2(a1)
    lhu s6, 4(a1)
    lhu s7, 6(a1)
    addi a1, a1, 8
    sw a1, 52(sp)
    sll s4, s4, a2
    sll s5, s5, a2
    sll s6, s6, a2
    sll s7, s7, a2
    lh s0, 0(a5)
    lh s1, 2(a5)
    lh s2, 4(a5)
    lh s3, 6(a5)
    lp_setup 0, a6, .Lmove_last
    p_lw a1, 4, a4
    p_lw a2, 4, a4
    p_lw s9, 4, a3
    mul t0, a1, s4
    mul t1, a1, s5
    mul t2, a1, s6
    mul t3, a1, s7
    p_minu t0, t0, s8
    p_minu t1, t1, s8
    p_minu t2, t2, s8
    p_minu t3, t3, s8
    /* 2**-f: two bytes for each of ten bits behind the point */
    srli t4, t0, 11
    srli t5, t1, 11
    srli t6, t2, 11
    srli a7, t3, 11
    andi t4, t4, 0x7fe
    andi t5, t5, 0x7fe
    andi t6, t6, 0x7fe
    andi a7, a7, 0x7fe
    p_lhu_at t4, t4, a0
    p_lhu_at t5, t5, a0
    p_lhu_at t6, t6, a0
    p_lhu_at a7, a7, a0
    srli t0, t0, 22
    srli t1, t1, 22
    srli t2, t2, 22
    srli t3, t3, 22
    sra t4, t4, t0
    sra t5, t5, t1
    sra t6, t6, t2
    sra a7, a7, t3
    p_lw s10, 4, a3
    p_muls t0, a2, s9
    p_mulhhs t1, a2, s9
    p_muls t2, a2, s10
    p_mulhhs t3, a2, s10
    p_macsRN t0, t4, s0, 15
    p_macsRN t1, t5, s1, 15
    p_macsRN t2, t6, s2, 15
    p_macsRN t3, a7, s3, 15
    p_lw s9, 4, a3
    p_lw s10, 4, a3
    lw a1, 0(a4)
    p_clip16 s0, t0
    p_clip16 s1, t1
    p_clip16 s2, t2
    p_clip16 s3, t3
    pv_pack_h t4, s1, s0
    pv_pack_h t5, s3, s2
    pv_sdotsp_h a1, t4, s9
    pv_sdotsp_h a1, t5, s10
.Lmove_last:
    p_sw a1, 4, a4
    lw a1, 52(sp)
    p_sh s0, 2, a5
    p_sh s1, 2, a5
    p_sh s2, 2, a5
    p_sh s3, 2, a5
    /* back to the first step, and on to the reads of the next block */
    slli t0, a6, 2
    sub a4, a4, t0
    slli t0, a6, 3
    sub a4, a4, t0
    slli t0, a6, 4
    sub a3, a3, t0
    addi a3, a3, 32 * 16
    addi s11, s11, -1
    bnez s11, .Lmove_block
    me_saved lw
    addi sp, sp, 64
    ret
me_end me_move_states

/* a0 run, a1 own, a2 x, a3 y, a4 steps; of results of two bytes y_step is twice as far as x's */
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
