/* SPDX-License-Identifier: Apache-2.0
 * me_layout_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 from, a1 to, a2 words */
me_function me_copy_words
    srli a3, a2, 2
    beqz a3, .Lmove_rest
    lp_setup 0, a3, .Lmove_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    p_lw t2, 4, a0
    p_lw t3, 4, a0
    p_sw t0, 4, a1
    p_sw t1, 4, a1
    p_sw t2, 4, a1
.Lmove_last:
    p_sw t3, 4, a1
.Lmove_rest:
    andi a2, a2, 3
    beqz a2, .Lmove_done
    lp_setup 0, a2, .Lmove_rest_last
    p_lw t0, 4, a0
    nop
.Lmove_rest_last:
    p_sw t0, 4, a1
.Lmove_done:
    ret
me_end me_copy_words

/* a0 to, a1 word, a2 words */
me_function me_fill_words
    srli a3, a2, 2
    beqz a3, .Lfill_rest
    lp_setup 0, a3, .Lfill_last
    p_sw a1, 4, a0
    p_sw a1, 4, a0
    p_sw a1, 4, a0
.Lfill_last:
    p_sw a1, 4, a0
.Lfill_rest:
    andi a2, a2, 3
.Lfill_one:
    beqz a2, .Lfill_done
    p_sw a1, 4, a0
    addi a2, a2, -1
    j .Lfill_one
.Lfill_done:
    ret
me_end me_fill_words

/* a0 from, a1 to, a2 n, a3 from_step, a4 to_step */
me_function me_copy_bytes
    srli a5, a2, 2
    beqz a5, .Lbytes_rest
    lp_setup 0, a5, .Lbytes_last
    p_lb_r t0, a3, a0
    p_lb_r t1, a3, a0
    p_lb_r t2, a3, a0
    p_lb_r t3, a3, a0
    p_sb_r t0, a4, a1
    p_sb_r t1, a4, a1
    p_sb_r t2, a4, a1
.Lbytes_last:
    p_sb_r t3, a4, a1
.Lbytes_rest:
    andi a2, a2, 3
    beqz a2, .Lbytes_done
    lp_setup 0, a2, .Lbytes_rest_last
    p_lb_r t0, a3, a0
    nop
.Lbytes_rest_last:
    p_sb_r t0, a4, a1
.Lbytes_done:
    ret
me_end me_copy_bytes

/* copies a row of t1 pairs of words, t2 words and t3 bytes (each >= 0) from t6 to a1; overwrites t0 and a0 */
.macro copied_row
    beqz t1, 1f
    lp_setup 0, t1, .Lpairs_last\@
    p_lw t0, 4, t6
    p_lw a0, 4, t6
    p_sw t0, 4, a1
.Lpairs_last\@:
    p_sw a0, 4, a1
1:  beqz t2, 2f
    p_lw t0, 4, t6
    p_sw t0, 4, a1
2:  beqz t3, 3f
    lp_setup 0, t3, .Lsingle_last\@
    p_lb t0, 1, t6
    nop
.Lsingle_last\@:
    p_sb t0, 1, a1
3:
.endm

/* a0 part */
me_function me_copy_runs
    lw a3, 0(a0)                /* from, to, bytes, rows, runs, row_step, run_step */
    lw a1, 4(a0)
    lw t3, 8(a0)
    lw a4, 12(a0)
    lw a5, 16(a0)
    lw a6, 20(a0)
    lw a7, 24(a0)
    srli t1, t3, 3
    srli t2, t3, 2
    andi t2, t2, 1
    andi t3, t3, 3
.Lrun:
    mv t4, a4
    mv t5, a3
.Lrow:
    mv t6, t5
    copied_row
    add t5, t5, a6
    addi t4, t4, -1
    bnez t4, .Lrow
    add a3, a3, a7
    addi a5, a5, -1
    bnez a5, .Lrun
    ret
me_end me_copy_runs

.macro four_bytes word
    p_sb_r \word, a5, a1
    srli \word, \word, 8
    p_sb_r \word, a5, a1
    srli \word, \word, 8
    p_sb_r \word, a5, a1
    srli \word, \word, 8
.endm

/* a0 from, a1 to, a2 words, a3 rows, a4 from_row, a5 to_step */
me_function me_scatter_words
    li t0, 3
    bne a3, t0, .Lspread
    beq a5, t0, .Lthree
.Lspread:
    mv a6, a0
    mv a7, a1
    srli t2, a2, 1
    andi t3, a2, 1
.Lspread_row:
    beqz t2, .Lspread_one
    lp_setup 0, t2, .Lspread_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    four_bytes t0
    p_sb_r t0, a5, a1
    four_bytes t1
.Lspread_last:
    p_sb_r t1, a5, a1
    beqz t3, .Lspread_next
.Lspread_one:
    lw t0, 0(a0)
    nop
    four_bytes t0
    sb t0, 0(a1)
.Lspread_next:
    add a6, a6, a4
    addi a7, a7, 1
    addi a3, a3, -1
    mv a0, a6
    mv a1, a7
    bnez a3, .Lspread_row
    ret
/* Three rows whose bytes are adjacent in `to`: three words for every four columns. */
.Lthree:
    me_ask_order a3, a5
    li a3, 0x05010400                   /* interleave bytes 0 and 1 of rd and rs */
    li a6, 0x07030602                   /* interleave bytes 2 and 3 */
    li a7, 0x02040100                   /* bytes 0 and 1 of rd, byte 0 of rs, byte 2 of rd */
    li t5, 0x05050503                   /* byte 3 of rd, byte 1 of rs */
    li t6, 0x03070602                   /* bytes 2 and 3 of rd around those of rs */
    .irp order, a3, a6, a7, t5, t6
    xor \order, \order, a5
    .endr
    add a5, a0, a4
    add a4, a5, a4
    lp_setup 0, a2, .Lthree_last
    p_lw t0, 4, a0
    p_lw t1, 4, a5
    p_lw t2, 4, a4
    mv t3, t0
    pv_shuffle2_b t3, t1, a3            /* a0 b0 a1 b1 */
    pv_shuffle2_b t0, t1, a6            /* a2 b2 a3 b3 */
    mv t4, t3
    pv_shuffle2_b t4, t2, a7            /* a0 b0 c0 a1 */
    pv_shuffle2_b t3, t2, t5            /* b1 c1 */
    pv_pack_h t3, t0, t3                /* b1 c1 a2 b2 */
    pv_shuffle2_b t2, t0, t6            /* c2 a3 b3 c3 */
    p_sw t4, 4, a1
    p_sw t3, 4, a1
.Lthree_last:
    p_sw t2, 4, a1
    ret
me_end me_scatter_words

/* a0 from, a1 to, a2 fours, a3 blocks, a4 from_step, a5 to_step */
me_function me_turn_columns
    addi sp, sp, -16
    me_saved sw, 4
    add s0, a1, a5
    add s1, s0, a5
    add s2, s1, a5
    slli a5, a5, 2
    slli t0, a3, 2
    sub a5, a5, t0              /* next four rows of `to` and four columns of `from` */
    li s3, 4
    p_msu s3, t0, a4
    mv t0, a2
    me_ask_orders a2, a6, a7, t6
    lp_setup 1, t0, .Lturned_last
    lp_setup 0, a3, .Lturned_four_last
    p_lw_r t0, a4, a0
    p_lw_r t1, a4, a0
    p_lw_r t2, a4, a0
    p_lw_r t3, a4, a0
    me_turn_4x4 a2, a6, a7
    p_sw t0, 4, a1
    p_sw t4, 4, s0
    p_sw t2, 4, s1
.Lturned_four_last:
    p_sw t1, 4, s2
    add a0, a0, s3
    add a1, a1, a5
    add s0, s0, a5
    add s1, s1, a5
.Lturned_last:
    add s2, s2, a5
    me_saved lw, 4
    addi sp, sp, 16
    ret
me_end me_turn_columns

#endif
