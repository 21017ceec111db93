/* SPDX-License-Identifier: Apache-2.0
 * me_wide_conv_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "me_move_xpulp.h"

/* a0 x, a1 weights, a2 words, a3 sums */
me_function me_four_sums_h
    lw t0, 0(a3)
    lw t1, 4(a3)
    lw t2, 8(a3)
    lw t3, 12(a3)
    lp_setup 0, a2, .Lfour_last
    p_lw t4, 4, a0
    p_lw a4, 4, a1
    p_lw a5, 4, a1
    p_lw a6, 4, a1
    p_lw a7, 4, a1
    pv_sdotsp_h t0, t4, a4
    pv_sdotsp_h t1, t4, a5
    pv_sdotsp_h t2, t4, a6
.Lfour_last:
    pv_sdotsp_h t3, t4, a7
    sw t0, 0(a3)
    sw t1, 4(a3)
    sw t2, 8(a3)
    sw t3, 12(a3)
    ret
me_end me_four_sums_h

/* the sixteen sums, row by row, from or to a4 on */
.macro sums op
    \op t0, 0(a4)
    \op t1, 4(a4)
    \op t2, 8(a4)
    \op t3, 12(a4)
    \op t4, 16(a4)
    \op t5, 20(a4)
    \op t6, 24(a4)
    \op s0, 28(a4)
    \op s1, 32(a4)
    \op s2, 36(a4)
    \op s3, 40(a4)
    \op s4, 44(a4)
    \op s5, 48(a4)
    \op s6, 52(a4)
    \op s7, 56(a4)
    \op s8, 60(a4)
.endm

/* a0 x, a1 bytes between rows, a2 weights, a3 words, a4 sums; rows are read at a0, a1, a5, a6 */
me_function me_sixteen_sums_h
    addi sp, sp, -64
    me_saved sw
    sw a4, 48(sp)
    sums lw
    add a5, a0, a1
    add a6, a5, a1
    add a4, a6, a1
    mv a1, a5
    mv a5, a6
    mv a6, a4
    lp_setup 0, a3, .Lsixteen_last
    p_lw a3, 4, a0
    p_lw s9, 4, a2
    p_lw s10, 4, a2
    p_lw s11, 4, a2
    p_lw a7, 4, a2
    p_lw a4, 4, a1
    pv_sdotsp_h t0, a3, s9
    pv_sdotsp_h t1, a3, s10
    pv_sdotsp_h t2, a3, s11
    pv_sdotsp_h t3, a3, a7
    p_lw a3, 4, a5
    pv_sdotsp_h t4, a4, s9
    pv_sdotsp_h t5, a4, s10
    pv_sdotsp_h t6, a4, s11
    pv_sdotsp_h s0, a4, a7
    p_lw a4, 4, a6
    pv_sdotsp_h s1, a3, s9
    pv_sdotsp_h s2, a3, s10
    pv_sdotsp_h s3, a3, s11
    pv_sdotsp_h s4, a3, a7
    pv_sdotsp_h s5, a4, s9
    pv_sdotsp_h s6, a4, s10
    pv_sdotsp_h s7, a4, s11
.Lsixteen_last:
    pv_sdotsp_h s8, a4, a7
    lw a4, 48(sp)
    sums sw
    me_saved lw
    addi sp, sp, 64
    ret
me_end me_sixteen_sums_h

/* a0 x, a1 how many, a2 to */
me_function me_copy_halves
    andi a3, a1, 1
    srli a1, a1, 1
    beqz a1, .Lcopy_one
    lp_setup 0, a1, .Lcopy_last
    p_lw t0, 4, a0
    nop
.Lcopy_last:
    p_sw t0, 4, a2
.Lcopy_one:
    beqz a3, .Lcopy_done
    p_lh t0, 2, a0
    p_sh t0, 2, a2
.Lcopy_done:
    ret
me_end me_copy_halves

me_function me_widen_bytes
    andi a3, a1, 1
    srli a1, a1, 1
    beqz a1, .Lwiden_one
    lp_setup 0, a1, .Lwiden_last
    p_lb t0, 1, a0
    p_lb t1, 1, a0
    nop
    pv_pack_h t0, t1, t0
.Lwiden_last:
    p_sw t0, 4, a2
.Lwiden_one:
    beqz a3, .Lwiden_done
    p_lb t0, 1, a0
    p_sh t0, 2, a2
.Lwiden_done:
    ret
me_end me_widen_bytes

#endif
