/* SPDX-License-Identifier: Apache-2.0
 * me_table.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* replaces four bytes by their table entries */
.macro looked_up b0, b1, b2, b3
    .irp b, \b0, \b1, \b2, \b3
    p_lb_at \b, \b, a0
    .endr
.endm
.macro packed rd, b0, b1, b2, b3
    pv_packlo_b \rd, \b1, \b0
    pv_packhi_b \rd, \b3, \b2
.endm

/* a0 zero, a1 x, a2 y, a3 words */
me_function me_table_words
    srli a4, a3, 1
    beqz a4, .Ltable_one
    me_cache_line
    lp_setup 0, a4, .Ltable_last
    p_lw t0, 4, a1
    p_lw t4, 4, a1
    p_extbs t1, t0
    p_extract_1 t2, t0
    p_extract_2 t3, t0
    srai t0, t0, 24
    looked_up t1, t2, t3, t0
    p_extbs t5, t4
    packed t6, t1, t2, t3, t0
    p_extract_1 a5, t4
    p_extract_2 a6, t4
    srai t4, t4, 24
    looked_up t5, a5, a6, t4
    p_sw t6, 4, a2
    packed t6, t5, a5, a6, t4
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
    looked_up t1, t2, t3, t0
    packed t6, t1, t2, t3, t0
    p_sw t6, 4, a2
.Ltable_done:
    ret
me_end me_table_words

#endif
