/* SPDX-License-Identifier: Apache-2.0
 * me_norm_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* normalises two values x in t1, t2 with the gains at a3; stores the first result at a1, as a byte or as a
 * half */
.macro normalised_pair clip=p_clip8, store=p_sb, size=1
    mul t1, t1, t6
    mul t2, t2, t6
    p_lw t3, 4, a3
    p_addN_r t1, t5, a6
    p_lw t4, 4, a3
    p_addN_r t2, t5, a6
    p_lw a0, 4, a3
    mul t1, t1, t3
    p_lw t3, 4, a3
    mul t2, t2, a0
    p_addN_r t1, t4, a5
    \clip t1, t1
    p_addN_r t2, t3, a5
    \store t1, \size, a1
    \clip t2, t2
.endm
/* normalises the last value, x in t1 */
.macro normalised_one clip=p_clip8, store=sb
    mul t1, t1, t6
    lw t3, 0(a3)
    lw t4, 4(a3)
    p_addN_r t1, t5, a6
    mul t1, t1, t3
    nop
    p_addN_r t1, t4, a5
    \clip t1, t1
    \store t1, 0(a1)
.endm
.macro begin_line
    lw t6, 0(a4)
    lw t5, 4(a4)
    lw a6, 8(a4)
.endm

/* a0 x, a1 y, a2 n, a3 pairs, a4 line, a5 shift */
me_function me_norm_row_b
    begin_line
    mv a4, a0
    srli t0, a2, 1
    beqz t0, .Lrow_b_rest
    lp_setup 0, t0, .Lrow_b_last
    p_lb t1, 1, a4
    p_lb t2, 1, a4
    normalised_pair
.Lrow_b_last:
    p_sb t2, 1, a1
.Lrow_b_rest:
    andi a2, a2, 1
    beqz a2, .Lrow_b_done
    lb t1, 0(a4)
    normalised_one
.Lrow_b_done:
    ret
me_end me_norm_row_b

/* the same with a6 halvings, which are moved to a7 */
me_function me_norm_row_h
    mv a7, a6
    begin_line
    mv a4, a0
    srli t0, a2, 1
    beqz t0, .Lrow_h_rest
    lp_setup 0, t0, .Lrow_h_last
    p_lh t1, 2, a4
    p_lh t2, 2, a4
    sra t1, t1, a7
    sra t2, t2, a7
    normalised_pair
.Lrow_h_last:
    p_sb t2, 1, a1
.Lrow_h_rest:
    andi a2, a2, 1
    beqz a2, .Lrow_h_done
    lh t1, 0(a4)
    sra t1, t1, a7
    normalised_one
.Lrow_h_done:
    ret
me_end me_norm_row_h

/* the same with int16 results */
me_function me_norm_row_b_s16
    begin_line
    mv a4, a0
    srli t0, a2, 1
    beqz t0, .Lrow_b_s16_rest
    lp_setup 0, t0, .Lrow_b_s16_last
    p_lb t1, 1, a4
    p_lb t2, 1, a4
    normalised_pair p_clip16, p_sh, 2
.Lrow_b_s16_last:
    p_sh t2, 2, a1
.Lrow_b_s16_rest:
    andi a2, a2, 1
    beqz a2, .Lrow_b_s16_done
    lb t1, 0(a4)
    normalised_one p_clip16, sh
.Lrow_b_s16_done:
    ret
me_end me_norm_row_b_s16

/* the same with a6 halvings, which are moved to a7 */
me_function me_norm_row_h_s16
    mv a7, a6
    begin_line
    mv a4, a0
    srli t0, a2, 1
    beqz t0, .Lrow_h_s16_rest
    lp_setup 0, t0, .Lrow_h_s16_last
    p_lh t1, 2, a4
    p_lh t2, 2, a4
    sra t1, t1, a7
    sra t2, t2, a7
    normalised_pair p_clip16, p_sh, 2
.Lrow_h_s16_last:
    p_sh t2, 2, a1
.Lrow_h_s16_rest:
    andi a2, a2, 1
    beqz a2, .Lrow_h_s16_done
    lh t1, 0(a4)
    sra t1, t1, a7
    normalised_one p_clip16, sh
.Lrow_h_s16_done:
    ret
me_end me_norm_row_h_s16

#endif
