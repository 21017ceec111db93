/* SPDX-License-Identifier: Apache-2.0
 * me_rotary_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* Turns pairs: elements at x and x_second become those at y and y_second, all four rising.
 * a2 turns; a4 pairs, a5 zero point, a6 rounding, a7 shift */
.macro turned_pairs x, x_second, y, y_second
    lp_setup 0, a4, .Llast\@
    p_lb t0, 1, \x
    p_lb t1, 1, \x_second
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
    p_sb t4, 1, \y
.Llast\@:
    p_sb t5, 1, \y_second
.endm

/* The fields of a3, me_rotary. */
.macro fields
    lw a4, 4(a3)
    lw a5, 8(a3)
    lw a6, 12(a3)
    lw a7, 16(a3)
.endm

/* a0 x, a1 y, a2 turns, a3 op */
me_function me_rotary_row
    fields
    turned_pairs a0, a0, a1, a1
    ret
me_end me_rotary_row

me_function me_rotary_halves_row
    fields
    add t6, a0, a4
    add a3, a1, a4
    turned_pairs a0, t6, a1, a3
    ret
me_end me_rotary_halves_row

#endif
