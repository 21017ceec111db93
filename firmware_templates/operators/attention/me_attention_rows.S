/* SPDX-License-Identifier: Apache-2.0
 * me_attention_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"
#include "me_products.inc"

products me_products_signed, pv_sdotsp_b, pv_dotsp_b
products me_products_unsigned, pv_sdotusp_b, pv_dotusp_b

/* a0 x, a1 n */
me_function me_row_most
    lw t0, 0(a0)
    mv t1, t0
    srli a2, a1, 1
    beqz a2, .Lmost_w_done
    lp_setup 0, a2, .Lmost_w_last
    p_lw t2, 4, a0
    p_lw t3, 4, a0
    p_max t0, t0, t2
.Lmost_w_last:
    p_max t1, t1, t3
    andi a1, a1, 1
    beqz a1, .Lmost_w_done
    lw t2, 0(a0)
    p_max t0, t0, t2
.Lmost_w_done:
    p_max a0, t0, t1
    ret
me_end me_row_most

/* a0 x, a1 bias, a2 n, a3 mult, a4 shift */
me_function me_row_biased
    lp_setup 0, a2, .Lbiased_last
    p_lb t0, 1, a1
    lw t1, 0(a0)
    mul t0, t0, a3
    sra t0, t0, a4
    add t1, t1, t0
.Lbiased_last:
    p_sw t1, 4, a0
    ret
me_end me_row_biased

/* a0 x, a1 bias, a2 n: -128 is the only byte that stays negative after adding 127 */
me_function me_row_masked
    lp_setup 0, a2, .Lhidden_last
    p_lb t0, 1, a1
    lw t1, 0(a0)
    srai t0, t0, 31
    slli t0, t0, 29
    add t1, t1, t0
.Lhidden_last:
    p_sw t1, 4, a0
    ret
me_end me_row_masked

/* a0 x, a1 to, a2 fours, a3 top, a4 most, a5 mult, a6 shift, a7 exp. If x >= top - most, the product of
 * its distance and mult is top * mult - x * mult modulo 2**32, even if the two products wrap. */
me_function me_row_exponentials
    sub a4, a3, a4
    mul a3, a3, a5
    neg a5, a5
    li t4, 0
    li t5, 0x01010101
    lp_setup 0, a2, .Lexponentials_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    p_lw t2, 4, a0
    p_lw t3, 4, a0
    p_max t0, t0, a4
    p_max t1, t1, a4
    p_max t2, t2, a4
    p_max t3, t3, a4
    mul t0, t0, a5
    mul t1, t1, a5
    mul t2, t2, a5
    mul t3, t3, a5
    p_addN_r t0, a3, a6
    p_addN_r t1, a3, a6
    p_addN_r t2, a3, a6
    p_addN_r t3, a3, a6
    p_lbu_at t0, t0, a7
    p_lbu_at t1, t1, a7
    p_lbu_at t2, t2, a7
    p_lbu_at t3, t3, a7
    pv_packlo_b t0, t1, t0
    pv_packhi_b t0, t3, t2
    pv_sdotup_b t4, t0, t5
.Lexponentials_last:
    p_sw t0, 4, a1
    mv a0, t4
    ret
me_end me_row_exponentials

/* a0 x, a1 to, a2 upper, a3 fours, a4 by; see me_row_exponentials. Sums: t4 of the lower bytes, s2 of the
 * upper bytes. */
me_function me_row_exponentials_12_fours
    addi sp, sp, -16
    me_saved sw, 3
    lw a5, 0(a4)
    lw t6, 4(a4)
    lw a6, 8(a4)
    lw a7, 12(a4)
    mv t0, a3
    lw a3, 20(a4)
    lw a4, 16(a4)
    sub t6, a5, t6
    mul a5, a5, a6
    neg a6, a6
    li t4, 0
    li s2, 0
    li t5, 0x01010101
    lp_setup 0, t0, .Lexponentials_12_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    p_lw t2, 4, a0
    p_lw t3, 4, a0
    p_max t0, t0, t6
    p_max t1, t1, t6
    p_max t2, t2, t6
    p_max t3, t3, t6
    mul t0, t0, a6
    mul t1, t1, a6
    mul t2, t2, a6
    mul t3, t3, a6
    p_addN_r t0, a5, a7
    p_addN_r t1, a5, a7
    p_addN_r t2, a5, a7
    p_addN_r t3, a5, a7
    p_lbu_at s0, t0, a3
    p_lbu_at s1, t1, a3
    p_lbu_at t0, t0, a4
    p_lbu_at t1, t1, a4
    pv_packlo_b s0, s1, s0
    p_lbu_at s1, t2, a3
    pv_packlo_b t0, t1, t0
    p_lbu_at t1, t3, a3
    p_lbu_at t2, t2, a4
    p_lbu_at t3, t3, a4
    pv_packhi_b s0, t1, s1
    pv_packhi_b t0, t3, t2
    pv_sdotup_b s2, s0, t5
    p_sw s0, 4, a2
    pv_sdotup_b t4, t0, t5
.Lexponentials_12_last:
    p_sw t0, 4, a1
    slli s2, s2, 8
    add a0, t4, s2
    me_saved lw, 3
    addi sp, sp, 16
    ret
me_end me_row_exponentials_12_fours

/* a0 x, a1 upper, a2 n, a3 half */
me_function me_row_joined
    lp_setup 0, a2, .Ljoined_last
    p_lw t0, 4, a1
    lw t1, 0(a0)
    add t1, t1, a3
    slli t0, t0, 8
    add t1, t1, t0
.Ljoined_last:
    p_sw t1, 4, a0
    ret
me_end me_row_joined

/* a0 x, a1 y, a2 fours, a3 down, a4 factor, a5 offset, a6 shift */
me_function me_row_scaled
    lp_setup 0, a2, .Lscaled_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    p_lw t2, 4, a0
    p_lw t3, 4, a0
    sra t0, t0, a3
    sra t1, t1, a3
    sra t2, t2, a3
    sra t3, t3, a3
    mul t0, t0, a4
    mul t1, t1, a4
    mul t2, t2, a4
    mul t3, t3, a4
    p_addN_r t0, a5, a6
    p_addN_r t1, a5, a6
    p_addN_r t2, a5, a6
    p_addN_r t3, a5, a6
    p_clip8 t0, t0
    p_clip8 t1, t1
    p_clip8 t2, t2
    p_clip8 t3, t3
    pv_packlo_b t0, t1, t0
    pv_packhi_b t0, t3, t2
.Lscaled_last:
    p_sw t0, 4, a1
    ret
me_end me_row_scaled

#endif
