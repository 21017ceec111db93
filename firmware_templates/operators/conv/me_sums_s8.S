/* SPDX-License-Identifier: Apache-2.0
 * me_sums_s8.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* requantises the sum in t4 and limits it */
.macro requantised
    p_lw_r t4, a2, a0
    add t4, t4, t0
    sra t4, t4, t5
    mul t4, t4, t1
    p_addN_r t4, t2, t3
    p_max t4, t4, t6
    p_min t4, t4, a7
.endm

/* loads the parameters of the channel and of the operator; the table's address goes to a3 */
.macro requantisation
    lw t0, 0(a3)
    lw t1, 4(a3)
    lw t2, 8(a3)
    lw t3, 12(a3)
    lw t5, 0(a4)
    lw t6, 4(a4)
    lw a7, 8(a4)
    lw a3, 12(a4)
    slli a2, a2, 2
.endm

/* a0 sum, a1 n, a2 sum_step, a3 to, a4 scale, a5 y, a6 y_step */
me_function me_sums_s8
    requantisation
    bnez a3, .Lsums_s8_table
    lp_setup 0, a1, .Lsums_s8_last
    requantised
.Lsums_s8_last:
    p_sb_r t4, a6, a5
    ret
.Lsums_s8_table:
    addi a3, a3, 128
    lp_setup 0, a1, .Lsums_s8_table_last
    requantised
    p_lb_at t4, t4, a3
    nop
.Lsums_s8_table_last:
    p_sb_r t4, a6, a5
    ret
me_end me_sums_s8

/* as me_sums_s8 */
me_function me_limited_sums_s16
    requantisation
    lp_setup 0, a1, .Lsums_s16_limited_last
    requantised
.Lsums_s16_limited_last:
    p_sh_r t4, a6, a5
    ret
me_end me_limited_sums_s16

/* a0 sum, a1 n, a2 sum_step, a3 bits */
me_function me_join_sums
    slli a2, a2, 2
    lp_setup 0, a1, .Ljoined_last
    lw t0, 0(a0)
    lw t1, 4(a0)
    sll t0, t0, a3
    add t0, t0, t1
.Ljoined_last:
    p_sw_r t0, a2, a0
    ret
me_end me_join_sums

#endif
