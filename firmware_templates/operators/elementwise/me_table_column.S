/* SPDX-License-Identifier: Apache-2.0
 * me_table_column.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 zero, a1 x, a2 y, a3 n, a4 step */
me_function me_table_column
    srli a5, a3, 1
    beqz a5, .Lcolumn_one
    lp_setup 0, a5, .Lcolumn_last
    p_lb_r t0, a4, a1
    p_lb_r t1, a4, a1
    p_lb_at t0, t0, a0
    p_lb_at t1, t1, a0
    p_sb_r t0, a4, a2
.Lcolumn_last:
    p_sb_r t1, a4, a2
.Lcolumn_one:
    andi a3, a3, 1
    beqz a3, .Lcolumn_done
    lb t0, 0(a1)
    p_lb_at t0, t0, a0
    sb t0, 0(a2)
.Lcolumn_done:
    ret
me_end me_table_column

#endif
