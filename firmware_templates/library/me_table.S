/* SPDX-License-Identifier: Apache-2.0
 * me_table.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "me_move_xpulp.h"

/* a0 zero, a1 x, a2 y, a3 words */
me_function me_table_words
    srli a4, a3, 1
    beqz a4, .Ltable_one
    .balign 16
    lp_setup 0, a4, .Ltable_last
    p_lw t0, 4, a1
    p_lw t4, 4, a1
    p_extbs t1, t0
    p_extract_1 t2, t0
    p_extract_2 t3, t0
    srai t0, t0, 24
    p_lb_at t1, t1, a0
    p_lb_at t2, t2, a0
    p_lb_at t3, t3, a0
    p_lb_at t0, t0, a0
    p_extbs t5, t4
    pv_packlo_b t6, t2, t1
    pv_packhi_b t6, t0, t3
    p_extract_1 a5, t4
    p_extract_2 a6, t4
    srai t4, t4, 24
    p_lb_at t5, t5, a0
    p_lb_at a5, a5, a0
    p_lb_at a6, a6, a0
    p_lb_at t4, t4, a0
    p_sw t6, 4, a2
    pv_packlo_b t6, a5, t5
    pv_packhi_b t6, t4, a6
.Ltable_last:
    p_sw t6, 4, a2
.Ltable_one:
    andi a3, a3, 1
    beqz a3, .Ltable_done
    p_lw t0, 4, a1
    p_extract_1 t2, t0
    p_extbs t1, t0
    p_extract_2 t3, t0
    srai t0, t0, 24
    p_lb_at t1, t1, a0
    p_lb_at t2, t2, a0
    p_lb_at t3, t3, a0
    p_lb_at t0, t0, a0
    pv_packlo_b t6, t2, t1
    pv_packhi_b t6, t0, t3
    p_sw t6, 4, a2
.Ltable_done:
    ret
me_end me_table_words

#endif
