/* SPDX-License-Identifier: Apache-2.0
 * me_recurrent_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "me_move_xpulp.h"

/* a0 x, a1 weights, a2 words, a3 sums */
me_function me_four_sums
    lw t0, 0(a3)
    lw t1, 4(a3)
    lw t2, 8(a3)
    lw t3, 12(a3)
    lp_setup 0, a2, .Lsums_last
    p_lw t4, 4, a0
    p_lw a4, 4, a1
    p_lw a5, 4, a1
    p_lw a6, 4, a1
    p_lw a7, 4, a1
    pv_sdotsp_b t0, t4, a4
    pv_sdotsp_b t1, t4, a5
    pv_sdotsp_b t2, t4, a6
.Lsums_last:
    pv_sdotsp_b t3, t4, a7
    sw t0, 0(a3)
    sw t1, 4(a3)
    sw t2, 8(a3)
    sw t3, 12(a3)
    ret
me_end me_four_sums

#endif
