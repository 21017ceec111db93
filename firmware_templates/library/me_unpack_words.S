/* SPDX-License-Identifier: Apache-2.0
 * me_unpack_words.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* stores the weights in a packed word: \shifts put all but the last part of a lane at its upper end, from
 * where the weights shift right by \down */
.macro unpack_word word, down, shifts:vararg
    .irp up, \shifts
    pv_sll\up t2, \word
    pv_sra\down t2, t2
    p_sw t2, 4, a1
    .endr
    pv_sra\down \word, \word
.endm

/* unpacks a2 words from a0 to a1 and returns, two words at a time */
.macro unpack_all down, shifts:vararg
    srli a3, a2, 1
    beqz a3, 1f
    me_cache_line
    lp_setup 0, a3, 2f
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    unpack_word t0, \down, \shifts
    p_sw t0, 4, a1
    unpack_word t1, \down, \shifts
2:
    p_sw t1, 4, a1
1:
    andi a2, a2, 1
    beqz a2, 3f
    p_lw t0, 4, a0
    nop
    unpack_word t0, \down, \shifts
    p_sw t0, 4, a1
3:
    ret
.endm

/* a0 packed, a1 to, a2 words, a3 bits, a4 size */
me_function me_unpack_words
    addi t0, a3, -4
    addi t1, a4, -1
    bnez t1, .Lunpack_halfwords
    bnez t0, .Lunpack_s2
    unpack_all 4_b, 4_b
.Lunpack_s2:
    unpack_all 6_b, 6_b, 4_b, 2_b
.Lunpack_halfwords:
    bnez t0, .Lunpack_s8_s16
    unpack_all 12_h, 12_h, 8_h, 4_h
.Lunpack_s8_s16:
    unpack_all 8_h, 8_h
me_end me_unpack_words

#endif
