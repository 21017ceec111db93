/* SPDX-License-Identifier: Apache-2.0
 * me_unsigned.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 y, a2 words */
me_function me_unsigned_words
    li a4, 0x80808080
    srli a3, a2, 1
    beqz a3, .Lunsigned_one
    .balign 16
    lp_setup 0, a3, .Lunsigned_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    xor t0, t0, a4
    xor t1, t1, a4
    p_sw t0, 4, a1
.Lunsigned_last:
    p_sw t1, 4, a1
.Lunsigned_one:
    andi a2, a2, 1
    beqz a2, .Lunsigned_done
    p_lw t0, 4, a0
    nop
    xor t0, t0, a4
    p_sw t0, 4, a1
.Lunsigned_done:
    ret
me_end me_unsigned_words

#endif
