/* SPDX-License-Identifier: Apache-2.0
 * me_recurrent_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "me_move_xpulp.h"

/* a0 x, a1 weights, a2 words, a3 sums */
me_function me_four_sums
    lw t0, 0(a3)
    lw t1, 4(a3)
    lw t2, 8(a3)
    lw t3, 12(a3)
    lp_setup 0, a2, .Lsums_last
    p_lw t4, 4, a0
    p_lw a4, 4, a1
    p_lw a5, 4, a1
    p_lw a6, 4, a1
    p_lw a7, 4, a1
    pv_sdotsp_b t0, t4, a4
    pv_sdotsp_b t1, t4, a5
    pv_sdotsp_b t2, t4, a6
.Lsums_last:
    pv_sdotsp_b t3, t4, a7
    sw t0, 0(a3)
    sw t1, 4(a3)
    sw t2, 8(a3)
    sw t3, 12(a3)
    ret
me_end me_four_sums

/* a0 me_gates_block; sums of row r and channel c are numbers 4 r + c of t0 .. t6, s0 .. s8; rows are
 * read at a0, a1, a5, a6 */
me_function me_gates_4x4
    addi sp, sp, -64
    sw s0, 0(sp)
    sw s1, 4(sp)
    sw s2, 8(sp)
    sw s3, 12(sp)
    sw s4, 16(sp)
    sw s5, 20(sp)
    sw s6, 24(sp)
    sw s7, 28(sp)
    sw s8, 32(sp)
    sw s9, 36(sp)
    sw s10, 40(sp)
    sw s11, 44(sp)
    sw a0, 48(sp)
    lw a5, 16(a0)
    lw a2, 8(a0)
    lw a3, 12(a0)
    lw a1, 4(a0)
    lw a0, 0(a0)
    lw t0, 0(a5)
    lw t1, 16(a5)
    lw t2, 32(a5)
    lw t3, 48(a5)
    mv t4, t0
    mv t5, t1
    mv t6, t2
    mv s0, t3
    mv s1, t0
    mv s2, t1
    mv s3, t2
    mv s4, t3
    mv s5, t0
    mv s6, t1
    mv s7, t2
    mv s8, t3
    add a5, a0, a1
    add a6, a5, a1
    add a4, a6, a1
    mv a1, a5
    mv a5, a6
    mv a6, a4
    lp_setup 0, a3, .Lgates_last
    p_lw a3, 4, a0
    p_lw s9, 4, a2
    p_lw s10, 4, a2
    p_lw s11, 4, a2
    p_lw a7, 4, a2
    p_lw a4, 4, a1
    pv_sdotsp_b t0, a3, s9
    pv_sdotsp_b t1, a3, s10
    pv_sdotsp_b t2, a3, s11
    pv_sdotsp_b t3, a3, a7
    p_lw a3, 4, a5
    pv_sdotsp_b t4, a4, s9
    pv_sdotsp_b t5, a4, s10
    pv_sdotsp_b t6, a4, s11
    pv_sdotsp_b s0, a4, a7
    p_lw a4, 4, a6
    pv_sdotsp_b s1, a3, s9
    pv_sdotsp_b s2, a3, s10
    pv_sdotsp_b s3, a3, s11
    pv_sdotsp_b s4, a3, a7
    pv_sdotsp_b s5, a4, s9
    pv_sdotsp_b s6, a4, s10
    pv_sdotsp_b s7, a4, s11
.Lgates_last:
    pv_sdotsp_b s8, a4, a7
    lw a0, 48(sp)
    lw a5, 16(a0)
    lw a6, 20(a0)
    lw a1, 24(a0)
    lw a2, 28(a0)
    lw a3, 4(a5)
    lw a4, 8(a5)
    lw a7, 12(a5)
    sra t0, t0, a6
    sra t4, t4, a6
    sra s1, s1, a6
    sra s5, s5, a6
    mul t0, t0, a3
    mul t4, t4, a3
    mul s1, s1, a3
    mul s5, s5, a3
    p_addN_r t0, a4, a7
    p_addN_r t4, a4, a7
    p_addN_r s1, a4, a7
    p_addN_r s5, a4, a7
    p_clip16 t0, t0
    p_clip16 t4, t4
    p_clip16 s1, s1
    p_clip16 s5, s5
    lw a3, 20(a5)
    lw a4, 24(a5)
    lw a7, 28(a5)
    sra t1, t1, a6
    sra t5, t5, a6
    sra s2, s2, a6
    sra s6, s6, a6
    mul t1, t1, a3
    mul t5, t5, a3
    mul s2, s2, a3
    mul s6, s6, a3
    p_addN_r t1, a4, a7
    p_addN_r t5, a4, a7
    p_addN_r s2, a4, a7
    p_addN_r s6, a4, a7
    p_clip16 t1, t1
    p_clip16 t5, t5
    p_clip16 s2, s2
    p_clip16 s6, s6
    lw a3, 36(a5)
    lw a4, 40(a5)
    lw a7, 44(a5)
    sra t2, t2, a6
    sra t6, t6, a6
    sra s3, s3, a6
    sra s7, s7, a6
    mul t2, t2, a3
    mul t6, t6, a3
    mul s3, s3, a3
    mul s7, s7, a3
    p_addN_r t2, a4, a7
    p_addN_r t6, a4, a7
    p_addN_r s3, a4, a7
    p_addN_r s7, a4, a7
    p_clip16 t2, t2
    p_clip16 t6, t6
    p_clip16 s3, s3
    p_clip16 s7, s7
    lw a3, 52(a5)
    lw a4, 56(a5)
    lw a7, 60(a5)
    sra t3, t3, a6
    sra s0, s0, a6
    sra s4, s4, a6
    sra s8, s8, a6
    mul t3, t3, a3
    mul s0, s0, a3
    mul s4, s4, a3
    mul s8, s8, a3
    p_addN_r t3, a4, a7
    p_addN_r s0, a4, a7
    p_addN_r s4, a4, a7
    p_addN_r s8, a4, a7
    p_clip16 t3, t3
    p_clip16 s0, s0
    p_clip16 s4, s4
    p_clip16 s8, s8
    pv_pack_h t0, t1, t0
    pv_pack_h t2, t3, t2
    sw t0, 0(a1)
    sw t2, 4(a1)
    add a1, a1, a2
    pv_pack_h t4, t5, t4
    pv_pack_h t6, s0, t6
    sw t4, 0(a1)
    sw t6, 4(a1)
    add a1, a1, a2
    pv_pack_h s1, s2, s1
    pv_pack_h s3, s4, s3
    sw s1, 0(a1)
    sw s3, 4(a1)
    add a1, a1, a2
    pv_pack_h s5, s6, s5
    pv_pack_h s7, s8, s7
    sw s5, 0(a1)
    sw s7, 4(a1)
    lw s0, 0(sp)
    lw s1, 4(sp)
    lw s2, 8(sp)
    lw s3, 12(sp)
    lw s4, 16(sp)
    lw s5, 20(sp)
    lw s6, 24(sp)
    lw s7, 28(sp)
    lw s8, 32(sp)
    lw s9, 36(sp)
    lw s10, 40(sp)
    lw s11, 44(sp)
    addi sp, sp, 64
    ret
me_end me_gates_4x4

#endif
