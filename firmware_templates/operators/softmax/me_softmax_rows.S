/* SPDX-License-Identifier: Apache-2.0
 * me_softmax_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 n, a2 step; side by side by words */
me_function me_row_max
    li t0, -128
    mv t1, t0
    srli a3, a1, 5              /* few numbers are not worth it */
    beqz a3, .Lmost_apart
    addi a4, a2, -1
    srli a3, a1, 2
    bnez a4, .Lmost_apart
    li t2, 0x80808080
    lp_setup 0, a3, .Lmost_word_last
    p_lw t3, 4, a0
    nop
.Lmost_word_last:
    pv_max_b t2, t2, t3
    p_extbs t0, t2
    p_extract_1 t1, t2
    p_extract_2 t3, t2
    srai t2, t2, 24
    p_max t0, t0, t3
    p_max t1, t1, t2
    andi a1, a1, 3
.Lmost_apart:
    srli a3, a1, 1
    beqz a3, .Lmost_rest
    lp_setup 0, a3, .Lmost_last
    p_lb_r t2, a2, a0
    p_lb_r t3, a2, a0
    p_max t0, t0, t2
.Lmost_last:
    p_max t1, t1, t3
.Lmost_rest:
    andi a1, a1, 1
    beqz a1, .Lmost_done
    lb t2, 0(a0)
    p_max t0, t0, t2
.Lmost_done:
    p_max a0, t0, t1
    ret
me_end me_row_max

/* a0 x, a1 n, a2 step, a3 exp, a4 most: the address of a number's entry is that of the maximum's
 * less twice the number */
me_function me_row_sum
    slli a4, a4, 1
    add a3, a3, a4
    li t0, 0
    li a6, -2
    srli a5, a1, 1
    beqz a5, .Lsum_rest
    lp_setup 0, a5, .Lsum_last
    p_lb_r t1, a2, a0
    p_lb_r t2, a2, a0
    mul t1, t1, a6
    mul t2, t2, a6
    p_lhu_at t1, t1, a3
    p_lhu_at t2, t2, a3
    add t0, t0, t1
.Lsum_last:
    add t0, t0, t2
.Lsum_rest:
    andi a1, a1, 1
    beqz a1, .Lsum_done
    lb t1, 0(a0)
    mul t1, t1, a6
    p_lhu_at t1, t1, a3
    add t0, t0, t1
.Lsum_done:
    mv a0, t0
    ret
me_end me_row_sum

/* t1 entry -> share, to be stored; t4 half, t5 255 */
.macro share x
    mul \x, \x, a6
.endm
.macro share_end x
    srli \x, \x, 15
    add \x, \x, t4
    srl \x, \x, a7
    p_minu \x, \x, t5
    addi \x, \x, -128
.endm

/* a0 x, a1 y, a2 n, a3 step, a4 exp, a5 most, a6 inverse, a7 shift. Words of many numbers side by side are rounded in
 * one shift, of numbers of which the largest leaves the sign free. */
me_function me_row_probabilities
    slli a5, a5, 1
    add a4, a4, a5
    srli t0, a2, 5
    beqz t0, .Lshares_apart
    li t0, 16
    blt t0, a7, .Lshares_apart
    li t4, 1
    bne a3, t4, .Lshares_apart
    addi t0, a7, 14
    sll t4, t4, t0
    lui t0, 0x80000
    sub t0, t0, t4
    srli t0, t0, 15
    bgeu a6, t0, .Lshares_apart
    addi a5, a7, 15
    li t6, -2
    li a3, 0x80808080
    srli t0, a2, 2
    lp_setup 0, t0, .Lwords_last
    .irp x, t0, t1, t2, t3
    p_lb \x, 1, a0
    .endr
    .irp x, t0, t1, t2, t3
    mul \x, \x, t6
    .endr
    .irp x, t0, t1, t2, t3
    p_lhu_at \x, \x, a4
    .endr
    .irp x, t0, t1, t2, t3
    mul \x, \x, a6
    .endr
    .irp x, t0, t1, t2, t3
    p_addN_r \x, t4, a5
    .endr
    pv_packlo_b t5, t1, t0
    pv_packhi_b t5, t3, t2
    xor t5, t5, a3
.Lwords_last:
    p_sw t5, 4, a1
    li a3, 1
    andi a2, a2, 3
    beqz a2, .Lshares_done
.Lshares_apart:
    li t4, 1
    addi t0, a7, -1
    sll t4, t4, t0
    li t5, 255
    srli t3, a2, 1
    beqz t3, .Lshares_rest
    lp_setup 0, t3, .Lshares_last
    p_lb_r t1, a3, a0
    p_lb_r t2, a3, a0
    slli t1, t1, 1
    slli t2, t2, 1
    sub t1, a4, t1
    sub t2, a4, t2
    lhu t1, 0(t1)
    lhu t2, 0(t2)
    share t1
    share t2
    share_end t1
    share_end t2
    p_sb_r t1, a3, a1
.Lshares_last:
    p_sb_r t2, a3, a1
.Lshares_rest:
    andi a2, a2, 1
    beqz a2, .Lshares_done
    lb t1, 0(a0)
    slli t1, t1, 1
    sub t1, a4, t1
    lhu t1, 0(t1)
    share t1
    share_end t1
    sb t1, 0(a1)
.Lshares_done:
    ret
me_end me_row_probabilities

#endif
