/* SPDX-License-Identifier: Apache-2.0
 * me_rotary_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 y, a2 turns, a3 op */
me_function me_rotary_row
    lw a4, 4(a3)
    lw a5, 8(a3)
    lw a6, 12(a3)
    lw a7, 16(a3)
    lp_setup 0, a4, .Lrotary_last
    p_lb t0, 1, a0
    p_lb t1, 1, a0
    p_lw t2, 4, a2
    p_lw t3, 4, a2
    sub t0, t0, a5
    sub t1, t1, a5
    pv_pack_h t0, t1, t0
    mv t4, a6
    mv t5, a6
    pv_sdotsp_h t4, t0, t2
    pv_sdotsp_h t5, t0, t3
    sra t4, t4, a7
    sra t5, t5, a7
    p_clip8 t4, t4
    p_clip8 t5, t5
    p_sb t4, 1, a1
.Lrotary_last:
    p_sb t5, 1, a1
    ret
me_end me_rotary_row

me_function me_rotary_halves_row
    lw a4, 4(a3)
    lw a5, 8(a3)
    lw a6, 12(a3)
    lw a7, 16(a3)
    add t6, a0, a4
    add a3, a1, a4
    lp_setup 0, a4, .Lhalves_last
    p_lb t0, 1, a0
    p_lb t1, 1, t6
    p_lw t2, 4, a2
    p_lw t3, 4, a2
    sub t0, t0, a5
    sub t1, t1, a5
    pv_pack_h t0, t1, t0
    mv t4, a6
    mv t5, a6
    pv_sdotsp_h t4, t0, t2
    pv_sdotsp_h t5, t0, t3
    sra t4, t4, a7
    sra t5, t5, a7
    p_clip8 t4, t4
    p_clip8 t5, t5
    p_sb t4, 1, a1
.Lhalves_last:
    p_sb t5, 1, a3
    ret
me_end me_rotary_halves_row

#endif
