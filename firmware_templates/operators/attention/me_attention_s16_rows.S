/* SPDX-License-Identifier: Apache-2.0
 * me_attention_s16_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"
#include "me_products.inc"

products me_products_halves, pv_sdotsp_h, pv_dotsp_h

/* a0 x, a1 n, a2 by */
me_function me_row_exponentials_h
    lw a3, 0(a2)
    lw a4, 4(a2)
    lw a5, 8(a2)
    lw a6, 12(a2)
    lw a7, 16(a2)
    lw t5, 20(a2)
    li t6, 0x4000
    li a2, 0xffff
    li t4, 0
    lp_setup 0, a1, .Lentries_last
    lw t0, 0(a0)
    mv t1, t6
    sub t0, a3, t0
    srl t0, t0, a4
    p_minu t0, t0, a5
    p_mac t1, t0, a6
    srli t1, t1, 15
    p_minu t1, t1, a2
    andi t0, t1, 255
    srli t1, t1, 8
    slli t0, t0, 1
    slli t1, t1, 1
    p_lhu_at t0, t0, a7
    p_lhu_at t1, t1, t5
    mv t2, t6
    p_mac t2, t0, t1
    srli t2, t2, 15
    add t4, t4, t2
.Lentries_last:
    p_sw t2, 4, a0
    mv a0, t4
    ret
me_end me_row_exponentials_h

/* a0 x, a1 to, a2 pairs, a3 drop */
me_function me_row_packed
    li t4, 0
    lp_setup 0, a2, .Lpacked_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    srl t0, t0, a3
    srl t1, t1, a3
    add t4, t4, t0
    add t4, t4, t1
    slli t1, t1, 16
    or t0, t0, t1
.Lpacked_last:
    p_sw t0, 4, a1
    mv a0, t4
    ret
me_end me_row_packed

/* a0 x, a1 to, a2 pairs, a3 add, a4 drop */
.macro rounded name, load, bytes
me_function \name
    lp_setup 0, a2, .Lrounded\@
    \load t0, \bytes, a0
    \load t1, \bytes, a0
    add t0, t0, a3
    add t1, t1, a3
    sra t0, t0, a4
    sra t1, t1, a4
    p_sh t0, 2, a1
.Lrounded\@:
    p_sh t1, 2, a1
    ret
me_end \name
.endm

rounded me_row_of_halves, p_lh, 2
rounded me_row_of_bytes, p_lb, 1

/* a0 x, a1 y, a2 n, a3 by; computes the upper word of 2 * x * (2**15 * factor) */
.macro scaled name, store, bytes
me_function \name
    lw a4, 0(a3)
    lw a5, 4(a3)
    lw a6, 8(a3)
    lw a7, 12(a3)
    lw t3, 16(a3)
    lw t4, 20(a3)
    lw t5, 24(a3)
    slli a5, a5, 15
    lp_setup 0, a2, .Lscaled\@
    p_lw t0, 4, a0
    sra t0, t0, a4
    slli t0, t0, 1
    mulh t0, t0, a5
    add t0, t0, a6
    sra t0, t0, a7
    add t0, t0, t3
    p_max t0, t0, t4
    p_min t0, t0, t5
.Lscaled\@:
    \store t0, \bytes, a1
    ret
me_end \name
.endm

scaled me_row_scaled_halves, p_sh, 2
scaled me_row_scaled_bytes, p_sb, 1

#endif
