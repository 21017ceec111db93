/* SPDX-License-Identifier: Apache-2.0
 * me_product_sums.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

.macro each_of_four op, more:vararg
    .irp x, t0, t1, t2, t3
    \op \x, \x, \more
    .endr
.endm

.macro product_sums shifted
    lp_setup 0, a1, .Lproduct_last\@
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    p_lw t2, 4, a0
    p_lw_r t3, a2, a0
    .if \shifted
    each_of_four sra, s0
    .endif
    each_of_four mul, a5
    .irp x, t0, t1, t2, t3
    p_addN_r \x, t5, t6
    p_clip8 \x, \x
    .endr
    pv_packlo_b t4, t1, t0
    pv_packhi_b t4, t3, t2
    pv_max_b t4, t4, a6
    pv_min_b t4, t4, a7
.Lproduct_last\@:
    p_sw_r t4, a4, a3
.endm

/* a0 sums, a1 rows, a2 sum_step, a3 y, a4 y_step, a5 by */
me_function me_product_sums
    addi sp, sp, -16
    sw s0, 0(sp)
    lw s0, 0(a5)
    lw t5, 8(a5)
    lw t6, 12(a5)
    lw a6, 16(a5)
    lw a7, 20(a5)
    lw a5, 4(a5)
    me_repeat_b a6, t0
    me_repeat_b a7, t0
    addi a2, a2, -12
    bnez s0, .Lproduct_shifted
    product_sums 0
    j .Lproduct_done
.Lproduct_shifted:
    product_sums 1
.Lproduct_done:
    lw s0, 0(sp)
    addi sp, sp, 16
    ret
me_end me_product_sums

#endif
