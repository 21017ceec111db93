/* SPDX-License-Identifier: Apache-2.0
 * me_attention_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* the frame: what changes from block to block, then what is saved */
    .set AT_Y, 0
    .set AT_Y_STRIDE, 4
    .set AT_END, 8              /* AT_Y behind the last block */
    .set AT_B_STEP, 12
    .set AT_ADD, 16
    .set AT_FIRST, 20           /* words of a row from `turn` on */
    .set AT_TURN, 24            /* words before */
    .set AT_ROW, 28             /* bytes of all */
    .set AT_LEFT, 32            /* words of AT_FIRST behind the first one */
    .set SAVED, 36
    .set FRAME, 96

.macro each_saved what
    \what ra, SAVED(sp)
    \what gp, SAVED+4(sp)
    \what tp, SAVED+8(sp)
    me_saved \what, 12, SAVED+12
.endm

/* The first word of a row makes its sums, the others add to them.
 * rows of a: t2 s0 s1 a0 (x7 .. x10); of b: ra gp tp a5; their words: t0 t1; a1 .. a4;
 * sum (i, j) is x16 + 4 i + j */
.macro each_row what, by
    \what t2, t2, \by
    \what s0, s0, \by
    \what s1, s1, \by
    \what a0, a0, \by
    \what ra, ra, \by
    \what gp, gp, \by
    \what tp, tp, \by
    \what a5, a5, \by
.endm

/* A word of all rows; an instruction between each load and its use. */
.macro word dot
    p_lw t0, 4, t2
    p_lw a1, 4, ra
    p_lw a2, 4, gp
    p_lw a3, 4, tp
    p_lw a4, 4, a5
    \dot x16, t0, a1
    \dot x17, t0, a2
    p_lw t1, 4, s0
    \dot x18, t0, a3
    \dot x19, t0, a4
    \dot x20, t1, a1
    p_lw t0, 4, s1
    \dot x21, t1, a2
    \dot x22, t1, a3
    \dot x23, t1, a4
    p_lw t1, 4, a0
    \dot x24, t0, a1
    \dot x25, t0, a2
    \dot x26, t0, a3
    \dot x27, t0, a4
    \dot x28, t1, a1
    \dot x29, t1, a2
    \dot x30, t1, a3
.endm

/* t0 words of all rows */
.macro summed dot
    lp_setup 0, t0, .Lsummed\@
    word \dot
.Lsummed\@:
    \dot x31, t1, a4
.endm

.macro products name, dot, first
me_function \name
    addi sp, sp, -FRAME
    each_saved sw
    lw a1, 32(a0)
    lw a2, 36(a0)
    lw a3, 40(a0)
    lw a4, 44(a0)
    lw t0, 48(a0)
    lw t1, 52(a0)
    lw t2, 56(a0)
    sub s0, a4, t2
    slli a4, a4, 2
    sw a1, AT_Y(sp)
    sw a2, AT_B_STEP(sp)
    sw a3, AT_Y_STRIDE(sp)
    sw a4, AT_ROW(sp)
    slli t0, t0, 4
    add t0, t0, a1
    sw t0, AT_END(sp)
    sw t1, AT_ADD(sp)
    sw t2, AT_TURN(sp)
    sw s0, AT_FIRST(sp)
    addi s0, s0, -1
    sw s0, AT_LEFT(sp)
    lw t2, 0(a0)
    lw s0, 4(a0)
    lw s1, 8(a0)
    lw ra, 16(a0)
    lw gp, 20(a0)
    lw tp, 24(a0)
    lw a5, 28(a0)
    lw a0, 12(a0)
    me_cache_line
1:  lw a1, AT_ADD(sp)
    lw t0, AT_FIRST(sp)
    bnez a1, 4f
    word \first
    lw t0, AT_LEFT(sp)
    \first x31, t1, a4
    beqz t0, 5f
3:  summed \dot
5:  lw t1, AT_ROW(sp)
    lw t0, AT_TURN(sp)
    each_row sub, t1
    beqz t0, 2f
    summed \dot
2:  lw a1, AT_Y(sp)
    lw t1, AT_Y_STRIDE(sp)
    lw a2, AT_B_STEP(sp)
    addi a3, a1, 16
    sw a3, AT_Y(sp)
    .irp n, 16, 20, 24, 28
    four_words sw, \n, a1
    .if \n < 28
    add a1, a1, t1
    .endif
    .endr
    lw t0, AT_END(sp)
    add ra, ra, a2
    add gp, gp, a2
    add tp, tp, a2
    add a5, a5, a2
    bne a3, t0, 1b
    each_saved lw
    addi sp, sp, FRAME
    ret
4:  lw a1, AT_Y(sp)
    lw a2, AT_Y_STRIDE(sp)
    .irp n, 16, 20, 24, 28
    four_words lw, \n, a1
    add a1, a1, a2
    .endr
    j 3b
me_end \name
.endm

/* x\n .. x\n+3 to what `at` points to, or from there */
.macro four_words what, n, at
    \what x\n, 0(\at)
    .if \n == 16
    \what x17, 4(\at)
    \what x18, 8(\at)
    \what x19, 12(\at)
    .elseif \n == 20
    \what x21, 4(\at)
    \what x22, 8(\at)
    \what x23, 12(\at)
    .elseif \n == 24
    \what x25, 4(\at)
    \what x26, 8(\at)
    \what x27, 12(\at)
    .else
    \what x29, 4(\at)
    \what x30, 8(\at)
    \what x31, 12(\at)
    .endif
.endm

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

/* a0 x, a1 bias, a2 n: of all bytes -128 alone is negative with 127 more */
me_function me_row_hidden
    lp_setup 0, a2, .Lhidden_last
    p_lb t0, 1, a1
    lw t1, 0(a0)
    srai t0, t0, 31
    slli t0, t0, 29
    add t1, t1, t0
.Lhidden_last:
    p_sw t1, 4, a0
    ret
me_end me_row_hidden

/* a0 x, a1 to, a2 fours, a3 top, a4 most, a5 mult, a6 shift, a7 exp. With x at least top - most, its
 * distance times mult is top * mult - x * mult, whatever wraps on the way. */
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
