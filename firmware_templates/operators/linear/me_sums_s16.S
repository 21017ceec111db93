/* SPDX-License-Identifier: Apache-2.0
 * me_sums_s16.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 sum, a1 n, a2 k, a3 to, a4 pre, a5 y */
me_function me_sums_s16
    lw t0, 0(a3)
    lw t1, 4(a3)
    lw t2, 8(a3)
    lw t3, 12(a3)
    slli a6, a2, 2
    slli a2, a2, 1
    sub a5, a5, a2
    lp_setup 0, a1, .Lsums_s16_last
    p_lw_r t4, a6, a0
    add a5, a5, a2
    add t4, t4, t0
    sra t4, t4, a4
    mul t4, t4, t1
    p_addN_r t4, t2, t3
    p_clip16 t4, t4
.Lsums_s16_last:
    sh t4, 0(a5)
    ret
me_end me_sums_s16

#endif
