/* SPDX-License-Identifier: Apache-2.0
 * me_dots_s16.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 a, a1 b, a2 words, a3 sum */
me_function me_dots_h
    li t0, 0
    li t1, 0
    li a5, 0xffff
    srli a4, a2, 1
    beqz a4, .Ldots_rest
    lp_setup 0, a4, .Ldots_last
    p_lw t2, 4, a0
    p_lw t3, 4, a1
    p_lw t5, 4, a0
    li t4, -1
    p_lw t6, 4, a1
    pv_sdotsp_h t4, t2, t3
    li t2, -1
    pv_sdotsp_h t2, t5, t6
    and t3, t4, a5
    srai t4, t4, 16
    add t0, t0, t3
    and t5, t2, a5
    add t1, t1, t4
    srai t2, t2, 16
    add t0, t0, t5
.Ldots_last:
    add t1, t1, t2
.Ldots_rest:
    andi a2, a2, 1
    beqz a2, .Ldots_done
    lw t2, 0(a0)
    lw t3, 0(a1)
    li t4, -1
    pv_sdotsp_h t4, t2, t3
    and t3, t4, a5
    srai t4, t4, 16
    add t0, t0, t3
    add t1, t1, t4
.Ldots_done:
    sw t0, 0(a3)
    sw t1, 4(a3)
    ret
me_end me_dots_h

#endif
