/* SPDX-License-Identifier: Apache-2.0
 * me_half_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 from, a1 to, a2 n, a3 from_step, a4 to_step */
me_function me_move_halves
    srli a5, a2, 2
    beqz a5, .Lhalves_rest
    lp_setup 0, a5, .Lhalves_last
    p_lh_r t0, a3, a0
    p_lh_r t1, a3, a0
    p_lh_r t2, a3, a0
    p_lh_r t3, a3, a0
    p_sh_r t0, a4, a1
    p_sh_r t1, a4, a1
    p_sh_r t2, a4, a1
.Lhalves_last:
    p_sh_r t3, a4, a1
.Lhalves_rest:
    andi a2, a2, 3
    beqz a2, .Lhalves_done
    lp_setup 0, a2, .Lhalves_rest_last
    p_lh_r t0, a3, a0
    nop
.Lhalves_rest_last:
    p_sh_r t0, a4, a1
.Lhalves_done:
    ret
me_end me_move_halves

#endif
