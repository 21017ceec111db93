/* SPDX-License-Identifier: Apache-2.0
 * me_unpack_words.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 packed, a1 to, a2 words */
me_function me_unpack_words_s4
    srli a3, a2, 1
    beqz a3, .Lunpack_s4_one
    me_cache_line
    lp_setup 0, a3, .Lunpack_s4_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    pv_sll4_b t2, t0
    pv_sra4_b t2, t2
    p_sw t2, 4, a1
    pv_sra4_b t0, t0
    p_sw t0, 4, a1
    pv_sll4_b t2, t1
    pv_sra4_b t2, t2
    p_sw t2, 4, a1
    pv_sra4_b t1, t1
.Lunpack_s4_last:
    p_sw t1, 4, a1
.Lunpack_s4_one:
    andi a2, a2, 1
    beqz a2, .Lunpack_s4_done
    p_lw t0, 4, a0
    nop
    pv_sll4_b t2, t0
    pv_sra4_b t2, t2
    p_sw t2, 4, a1
    pv_sra4_b t0, t0
    p_sw t0, 4, a1
.Lunpack_s4_done:
    ret
me_end me_unpack_words_s4

/* a0 packed, a1 to, a2 words */
me_function me_unpack_words_s2
    beqz a2, .Lunpack_s2_done
    me_cache_line
    lp_setup 0, a2, .Lunpack_s2_last
    p_lw t0, 4, a0
    nop
    pv_sll6_b t1, t0
    pv_sll4_b t2, t0
    pv_sll2_b t3, t0
    pv_sra6_b t1, t1
    p_sw t1, 4, a1
    pv_sra6_b t2, t2
    p_sw t2, 4, a1
    pv_sra6_b t3, t3
    p_sw t3, 4, a1
    pv_sra6_b t0, t0
.Lunpack_s2_last:
    p_sw t0, 4, a1
.Lunpack_s2_done:
    ret
me_end me_unpack_words_s2

#endif
