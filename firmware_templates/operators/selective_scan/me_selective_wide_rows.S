/* SPDX-License-Identifier: Apache-2.0
 * me_selective_wide_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set OF_MOST, 4             /* me_wide_decays */
    .set OF_UP, 8
    .set READS, 32              /* bytes of me_wide_reads, steps of it between blocks */
    .set STEPS, 32

/* Updates one of four states in a step: s8 delta, s9 u, ra rounding term, s10 and s11 the sum, a0 and a5
 * addresses of the table's entries and of the following ones, a1 0xffc, a2 decay_up, a3 reads, a6 most */
.macro move_state number, state, decay
    mulh t0, s8, \decay
    lw t5, 4 * \number(a3)
    slli \state, \state, 1
    p_min t0, t0, a6
    sll t0, t0, a2
    srli t1, t0, 9
    and t1, t1, a1
    p_lw_at t2, t1, a0
    p_lw_at t3, t1, a5
    andi t4, t0, 0x7ff
    srli t0, t0, 21
    sub t3, t2, t3
    mul t3, t3, t4
    mulh t5, s9, t5
    srli t3, t3, 11
    sub t2, t2, t3
    srl t2, t2, t0
    mulhsu t0, \state, t2
    lw t2, 16 + 4 * \number(a3)
    add t5, t5, ra
    add t0, t0, t5
    p_clip31 \state, t0
    mul t0, \state, t2
    mulh t1, \state, t2
    add s10, s10, t0
    sltu t0, s10, t0
    add s11, s11, t1
    add s11, s11, t0
.endm

/* a0 by, a1 decays, a2 reads, a3 own, a4 states, a5 steps, a6 blocks; s0 .. s3 states of a block, s4 .. s7
 * their decays */
me_function me_move_wide_states
    addi sp, sp, -80
    me_saved sw
    sw ra, 72(sp)
    sw a1, 48(sp)
    sw a4, 52(sp)
    sw a5, 56(sp)
    sw a6, 60(sp)
    sw a2, 64(sp)
    sw a3, 68(sp)
    mv t6, a5
    lw a6, OF_MOST(a0)
    lw a2, OF_UP(a0)
    lw a0, 0(a0)
    addi a5, a0, 4
    li a1, 0xffc
.Lwide_block:
    lw t0, 48(sp)
    lw t1, 52(sp)
    lw a3, 64(sp)
    lw a4, 68(sp)
    p_lw s4, 4, t0
    p_lw s5, 4, t0
    p_lw s6, 4, t0
    p_lw s7, 4, t0
    lw s0, 0(t1)
    lw s1, 4(t1)
    lw s2, 8(t1)
    lw s3, 12(t1)
    sw t0, 48(sp)
    me_cache_line
    lp_setup 0, t6, .Lwide_last
    p_lw s8, 4, a4
    p_lw s9, 4, a4
    p_lw ra, 4, a4
    lw s10, 0(a4)
    lw s11, 4(a4)
    move_state 0, s0, s4
    move_state 1, s1, s5
    move_state 2, s2, s6
    move_state 3, s3, s7
    addi a3, a3, READS
    p_sw s10, 4, a4
.Lwide_last:
    p_sw s11, 8, a4
    lw t1, 52(sp)
    lw t0, 64(sp)
    lw t2, 60(sp)
    p_sw s0, 4, t1
    p_sw s1, 4, t1
    p_sw s2, 4, t1
    p_sw s3, 4, t1
    sw t1, 52(sp)
    addi t0, t0, READS * STEPS
    sw t0, 64(sp)
    addi t2, t2, -1
    sw t2, 60(sp)
    bnez t2, .Lwide_block
    me_saved lw
    lw ra, 72(sp)
    addi sp, sp, 80
    ret
me_end me_move_wide_states

#endif
