/* SPDX-License-Identifier: Apache-2.0
 * me_softmax_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 n, a2 exp, a3 most. The table entry for x is at the maximum's entry minus 2 * x bytes. */
me_function me_row_sum
    slli a3, a3, 1
    add a2, a2, a3
    li t0, 0
    li a6, -2
    srli a5, a1, 1
    beqz a5, .Lsum_rest
    lp_setup 0, a5, .Lsum_last
    p_lb t1, 1, a0
    p_lb t2, 1, a0
    mul t1, t1, a6
    mul t2, t2, a6
    p_lhu_at t1, t1, a2
    p_lhu_at t2, t2, a2
    add t0, t0, t1
.Lsum_last:
    add t0, t0, t2
.Lsum_rest:
    andi a1, a1, 1
    beqz a1, .Lsum_done
    lb t1, 0(a0)
    mul t1, t1, a6
    p_lhu_at t1, t1, a2
    add t0, t0, t1
.Lsum_done:
    mv a0, t0
    ret
me_end me_row_sum

/* t1 entry -> the probability as it is stored; t4 half, t5 255 */
.macro share x
    mul \x, \x, a5
.endm
.macro share_end x
    srli \x, \x, 15
    add \x, \x, t4
    srl \x, \x, a6
    p_minu \x, \x, t5
    addi \x, \x, -128
.endm

/* a0 x, a1 y, a2 n, a3 exp, a4 most, a5 inverse, a6 shift. For long rows, four values are rounded with one
 * shift per word, if the largest one leaves the sign bit free. */
me_function me_row_probabilities
    slli a4, a4, 1
    add a3, a3, a4
    srli t0, a2, 5
    beqz t0, .Lshares_apart
    li t0, 16
    blt t0, a6, .Lshares_apart
    li t4, 1
    addi t0, a6, 14
    sll t4, t4, t0
    lui t0, 0x80000
    sub t0, t0, t4
    srli t0, t0, 15
    bgeu a5, t0, .Lshares_apart
    addi a4, a6, 15
    li t6, -2
    li a7, 0x80808080
    srli t0, a2, 2
    lp_setup 0, t0, .Lwords_last
    .irp x, t0, t1, t2, t3
    p_lb \x, 1, a0
    .endr
    .irp x, t0, t1, t2, t3
    mul \x, \x, t6
    .endr
    .irp x, t0, t1, t2, t3
    p_lhu_at \x, \x, a3
    .endr
    .irp x, t0, t1, t2, t3
    mul \x, \x, a5
    .endr
    .irp x, t0, t1, t2, t3
    p_addN_r \x, t4, a4
    .endr
    pv_packlo_b t5, t1, t0
    pv_packhi_b t5, t3, t2
    xor t5, t5, a7
.Lwords_last:
    p_sw t5, 4, a1
    andi a2, a2, 3
    beqz a2, .Lshares_done
.Lshares_apart:
    li t4, 1
    addi t0, a6, -1
    sll t4, t4, t0
    li t5, 255
    srli t3, a2, 1
    beqz t3, .Lshares_rest
    lp_setup 0, t3, .Lshares_last
    p_lb t1, 1, a0
    p_lb t2, 1, a0
    slli t1, t1, 1
    slli t2, t2, 1
    sub t1, a3, t1
    sub t2, a3, t2
    lhu t1, 0(t1)
    lhu t2, 0(t2)
    share t1
    share t2
    share_end t1
    share_end t2
    p_sb t1, 1, a1
.Lshares_last:
    p_sb t2, 1, a1
.Lshares_rest:
    andi a2, a2, 1
    beqz a2, .Lshares_done
    lb t1, 0(a0)
    slli t1, t1, 1
    sub t1, a3, t1
    lhu t1, 0(t1)
    share t1
    share_end t1
    sb t1, 0(a1)
.Lshares_done:
    ret
me_end me_row_probabilities

#endif
