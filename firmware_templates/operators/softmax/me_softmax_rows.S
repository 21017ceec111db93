/* SPDX-License-Identifier: Apache-2.0
 * me_softmax_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 n, a2 step */
me_function me_row_max
    li t0, -128
    mv t1, t0
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
    srli a5, a1, 1
    beqz a5, .Lsum_rest
    lp_setup 0, a5, .Lsum_last
    p_lb_r t1, a2, a0
    p_lb_r t2, a2, a0
    slli t1, t1, 1
    slli t2, t2, 1
    sub t1, a3, t1
    sub t2, a3, t2
    lhu t1, 0(t1)
    lhu t2, 0(t2)
    add t0, t0, t1
.Lsum_last:
    add t0, t0, t2
.Lsum_rest:
    andi a1, a1, 1
    beqz a1, .Lsum_done
    lb t1, 0(a0)
    slli t1, t1, 1
    sub t1, a3, t1
    lhu t1, 0(t1)
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

/* a0 x, a1 y, a2 n, a3 step, a4 exp, a5 most, a6 inverse, a7 shift */
me_function me_row_probabilities
    slli a5, a5, 1
    add a4, a4, a5
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
