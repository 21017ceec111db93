/* SPDX-License-Identifier: Apache-2.0
 * me_group_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 n, a2 step, a3 of */
me_function me_moments_apart
    li t0, 0
    li t1, 0
    srli a4, a1, 1
    beqz a4, .Lapart_rest
    lp_setup 0, a4, .Lapart_last
    p_lb_r t3, a2, a0
    p_lb_r t4, a2, a0
    add t0, t0, t3
    p_mac t1, t3, t3
    add t0, t0, t4
.Lapart_last:
    p_mac t1, t4, t4
.Lapart_rest:
    andi a1, a1, 1
    beqz a1, .Lapart_done
    lb t3, 0(a0)
    nop
    add t0, t0, t3
    p_mac t1, t3, t3
.Lapart_done:
    sw t0, 0(a3)
    sw t1, 4(a3)
    ret
me_end me_moments_apart

/* a0 x, a1 y, a2 n, a3 run */
me_function me_normalise_run
    lw t6, 0(a3)
    lw t5, 4(a3)
    lw a6, 8(a3)
    lw a7, 12(a3)
    lw t4, 16(a3)
    lw a4, 20(a3)
    lw a5, 24(a3)
    lw t3, 28(a3)
    lw a3, 32(a3)
    srli t0, a2, 1
    beqz t0, .Lrun_rest
    lp_setup 0, t0, .Lrun_last
    p_lb_r t1, a3, a0
    p_lb_r t2, a3, a0
    mul t1, t1, t6
    mul t2, t2, t6
    p_addN_r t1, t5, a6
    p_addN_r t2, t5, a6
    mul t1, t1, a7
    mul t2, t2, a7
    p_addN_r t1, t4, a4
    p_addN_r t2, t4, a4
    p_max t1, t1, a5
    p_max t2, t2, a5
    p_min t1, t1, t3
    p_min t2, t2, t3
    p_sb_r t1, a3, a1
.Lrun_last:
    p_sb_r t2, a3, a1
.Lrun_rest:
    andi a2, a2, 1
    beqz a2, .Lrun_done
    lb t1, 0(a0)
    nop
    mul t1, t1, t6
    p_addN_r t1, t5, a6
    mul t1, t1, a7
    p_addN_r t1, t4, a4
    p_max t1, t1, a5
    p_min t1, t1, t3
    sb t1, 0(a1)
.Lrun_done:
    ret
me_end me_normalise_run

#endif
