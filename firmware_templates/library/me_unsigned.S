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
    me_cache_line
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

/* a0 x, a1 y, a2 pieces, a3 bytes, a4 x_step, a5 y_step, a6 word. If `bytes` is not a multiple of 4, the
 * last word of a piece overlaps the one before. */
me_function me_xor_pieces
    addi t0, a3, -4
    bltz t0, .Lpieces_bytes
    sub a4, a4, t0
    sub a5, a5, t0
    li t1, 16
    bgt a3, t1, .Lpieces_long
    li t1, 12
    bgt a3, t1, .Lpieces_four
    li t1, 8
    bgt a3, t1, .Lpieces_three
    lp_setup 1, a2, .Lpieces_two_last
    p_lw_r t3, t0, a0
    p_lw_r t4, a4, a0
    xor t3, t3, a6
    xor t4, t4, a6
    p_sw_r t3, t0, a1
.Lpieces_two_last:
    p_sw_r t4, a5, a1
    ret
.Lpieces_three:
    lp_setup 1, a2, .Lpieces_three_last
    lw t5, 4(a0)
    p_lw_r t3, t0, a0
    p_lw_r t4, a4, a0
    xor t5, t5, a6
    xor t3, t3, a6
    xor t4, t4, a6
    sw t5, 4(a1)
    p_sw_r t3, t0, a1
.Lpieces_three_last:
    p_sw_r t4, a5, a1
    ret
.Lpieces_four:
    lp_setup 1, a2, .Lpieces_four_last
    lw t5, 4(a0)
    lw t6, 8(a0)
    p_lw_r t3, t0, a0
    p_lw_r t4, a4, a0
    xor t5, t5, a6
    xor t6, t6, a6
    xor t3, t3, a6
    xor t4, t4, a6
    sw t5, 4(a1)
    sw t6, 8(a1)
    p_sw_r t3, t0, a1
.Lpieces_four_last:
    p_sw_r t4, a5, a1
    ret
.Lpieces_long:
    addi t2, a3, -1
    srli t1, t2, 3
    andi t2, t2, 7
    addi t2, t2, -7
    lp_setup 1, a2, .Lpieces_long_last
    lp_setup 0, t1, .Lpieces_words_last
    p_lw t3, 4, a0
    p_lw t4, 4, a0
    xor t3, t3, a6
    xor t4, t4, a6
    p_sw t3, 4, a1
.Lpieces_words_last:
    p_sw t4, 4, a1
    add a0, a0, t2
    add a1, a1, t2
    p_lw t3, 4, a0
    p_lw_r t4, a4, a0
    xor t3, t3, a6
    xor t4, t4, a6
    p_sw t3, 4, a1
.Lpieces_long_last:
    p_sw_r t4, a5, a1
    ret
.Lpieces_bytes:
    sub a4, a4, a3
    sub a5, a5, a3
    li t1, 8
    p_ror a6, a6, t1            /* both halves of a6 are equal: two rotations restore byte 0 */
    lp_setup 1, a2, .Lpieces_bytes_last
    lp_setup 0, a3, .Lpieces_byte_last
    p_lb t3, 1, a0
    p_ror a6, a6, t1
    xor t3, t3, a6
.Lpieces_byte_last:
    p_sb t3, 1, a1
    add a0, a0, a4
.Lpieces_bytes_last:
    add a1, a1, a5
    ret
me_end me_xor_pieces

#endif
