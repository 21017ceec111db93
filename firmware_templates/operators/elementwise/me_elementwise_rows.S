/* SPDX-License-Identifier: Apache-2.0
 * me_elementwise_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set AT_A_MULT, 0           /* me_add_s8_params */
    .set AT_B_MULT, 4
    .set AT_ADD_OFFSET, 8
    .set AT_ADD_SHIFT, 12
    .set AT_ADD_LOW, 20
    .set AT_ADD_HIGH, 24
    .set AT_A_ZERO, 0           /* me_mul_s8_params */
    .set AT_B_ZERO, 4
    .set AT_MULT, 8
    .set AT_OFFSET, 12
    .set AT_SHIFT, 16
    .set AT_PRE, 20
    .set AT_LOW, 24
    .set AT_HIGH, 28
    .set AT_SCALE_LOW, 4        /* me_scale */
    .set AT_SCALE_HIGH, 8

    .set AT_BLOCK_A, 0          /* me_word_loops */
    .set AT_BLOCK_B, 4
    .set AT_BLOCK_Y, 8
    .set AT_WORDS, 12
    .set AT_TURNS, 16
    .set AT_RUNS, 20
    .set AT_A_WORD, 24
    .set AT_B_WORD, 28
    .set AT_A_TURN, 32
    .set AT_B_TURN, 36
    .set AT_A_RUN, 40
    .set AT_B_RUN, 44
    .set AT_Y_RUN, 48
    .set AT_ORDER, 52
    .set AT_SINGLE, 56
    .set AT_SWAPPED, 60

/* unpacks the bytes of a word to halves: even = bytes 0 and 2, odd = bytes 1 and 3; overwrites word */
.macro halves even, odd
    pv_sra8_h \odd, \even
    pv_sll8_h \even, \even
    pv_sra8_h \even, \even
.endm

/* requantises the sums x0 .. x3 to a word of results; overwrites x1 and x3 */
.macro finish word, x0, x1, x2, x3, offset, shift, low, high, limited
    p_addN_r \x0, \offset, \shift
    p_addN_r \x1, \offset, \shift
    p_addN_r \x2, \offset, \shift
    p_addN_r \x3, \offset, \shift
    packed \word, \x0, \x1, \x2, \x3, \low, \high, \limited
.endm
.macro packed word, x0, x1, x2, x3, low, high, limited
    p_clip8 \x0, \x0
    p_clip8 \x1, \x1
    p_clip8 \x2, \x2
    p_clip8 \x3, \x3
    pv_packlo_b \word, \x1, \x0
    pv_packhi_b \word, \x3, \x2
    .if \limited
    pv_max_b \word, \word, \low
    pv_min_b \word, \word, \high
    .endif
.endm

/* computes the words t5 of a and t6 of b to t6; overwrites a0, a4, s0 and s1. limited: limits other than
 * int8's, or a pre-shift of products */
.macro add_word limited=1
    halves t5, s0
    halves t6, s1
    p_muls a0, t5, t0
    p_mulhhs t5, t5, t0
    p_muls a4, s0, t0
    p_mulhhs s0, s0, t0
    p_macs a0, t6, t1
    p_machhs t5, t6, t1
    p_macs a4, s1, t1
    p_machhs s0, s1, t1
    finish t6, a0, a4, t5, s0, t2, a7, t3, t4, \limited
.endm
/* the same for halves of both words */
.macro paired
    srli s1, t5, 16
    pv_pack_h s0, t6, t5        /* a0 a1 b0 b1 */
    p_insert_low t6, s1         /* a2 a3 b2 b3 */
.endm
.macro add_word_8 limited=1
    paired
    pv_dotsp_b a0, s0, t0
    pv_dotsp_b a4, s0, t1
    pv_dotsp_b t5, t6, t0
    pv_dotsp_b s0, t6, t1
    finish t6, a0, a4, t5, s0, t2, a7, t3, t4, \limited
.endm
.macro add_word_24 limited=1
    paired
    pv_sra8_h s1, s0
    pv_sll8_h s0, s0            /* 256 times a0 and b0, and their sum */
    pv_sra8_h t5, t6
    pv_sll8_h t6, t6
    pv_dotsp_h a4, s1, t0
    pv_dotsp_h a0, s0, t0
    pv_dotsp_h t5, t5, t0
    pv_dotsp_h s0, t6, t0
    p_addN_r a4, t2, a7
    p_addN_r a0, t1, s2
    p_addN_r t5, t2, a7
    p_addN_r s0, t1, s2
    packed t6, a0, a4, s0, t5, t3, t4, \limited
.endm
.macro mul_word limited=1
    halves t5, s0
    halves t6, s1
    pv_sub_sc_h t5, t5, t0
    pv_sub_sc_h s0, s0, t0
    pv_sub_sc_h t6, t6, t1
    pv_sub_sc_h s1, s1, t1
    p_muls a0, t5, t6
    p_mulhhs t5, t5, t6
    p_muls a4, s0, s1
    p_mulhhs s0, s0, s1
    .if \limited
    sra a0, a0, s3
    sra t5, t5, s3
    sra a4, a4, s3
    sra s0, s0, s3
    .endif
    mul a0, a0, s2
    mul a4, a4, s2
    mul t5, t5, s2
    mul s0, s0, s2
    finish t6, a0, a4, t5, s0, t2, a7, t3, t4, \limited
.endm

/* loads t0, t1 multipliers, t2 offset, a7 shift, t3, t4 limits in all bytes */
.macro load_sum
    lw t3, AT_ADD_LOW(a0)
    lw t4, AT_ADD_HIGH(a0)
    me_repeat_b t3, t0
    me_repeat_b t4, t0
    lw t0, AT_A_MULT(a0)
    lw t1, AT_B_MULT(a0)
    lw t2, AT_ADD_OFFSET(a0)
    lw a7, AT_ADD_SHIFT(a0)
.endm
.macro load_add             /* loads multipliers in both halves */
    load_sum
    pv_pack_h t0, t0, t0
    pv_pack_h t1, t1, t1
.endm
.macro load_add_8
    load_sum
    andi t0, t0, 255
    andi t1, t1, 255
    pv_pack_h t0, t1, t0        /* for bytes 0 of a and of b */
    slli t1, t0, 8              /* for bytes 1 */
.endm
/* loads t0 both multipliers; t1, s2 offset and shift of 256 times the sum */
.macro load_add_24
    load_sum
    pv_pack_h t0, t1, t0
    slli t1, t2, 8
    addi s2, a7, 8
.endm
/* loads t0, t1 zero points, s2 multiplier, s3 pre; the rest as above */
.macro load_mul
    lw t3, AT_LOW(a0)
    lw t4, AT_HIGH(a0)
    me_repeat_b t3, t0
    me_repeat_b t4, t0
    lw t0, AT_A_ZERO(a0)
    lw t1, AT_B_ZERO(a0)
    lw t2, AT_OFFSET(a0)
    lw a7, AT_SHIFT(a0)
    lw s2, AT_MULT(a0)
    lw s3, AT_PRE(a0)
.endm
.macro swap
    mv t5, t0
    mv t0, t1
    mv t1, t5
.endm
.macro swap_24
    srli t5, t0, 16
    pv_pack_h t0, t0, t5
.endm
.macro swap_8
    swap_24
    slli t1, t0, 8
.endm

/* branches to `label` if the limits t3 and t4 are not int8's; overwrites s0 */
.macro if_limited label
    li s0, 0x80808080
    bne t3, s0, \label
    not s0, s0
    bne t4, s0, \label
.endm
.macro words_of word, limited
    me_cache_line
    lp_setup 0, a4, .Lwords_last\@
    p_lw_r t5, a5, a1
    p_lw_r t6, a6, a2
    \word \limited
.Lwords_last\@:
    p_sw t6, 4, a3
.endm

/* a0 op, a1 a, a2 b, a3 y, a4 words, a5 a_step, a6 b_step; a pre-shift in s3 is treated like limits */
.macro words_function name, load, word, pre=0
me_function \name
    addi sp, sp, -16
    me_saved sw, 4
    \load
    .if \pre
    bnez s3, .L\name\()_limited
    .endif
    if_limited .L\name\()_limited
    words_of \word, 0
.L\name\()_done:
    me_saved lw, 4
    addi sp, sp, 16
    ret
.L\name\()_limited:
    words_of \word, 1
    j .L\name\()_done
me_end \name
.endm
words_function me_add_words, load_add, add_word
words_function me_add_words_8, load_add_8, add_word_8
words_function me_add_words_24, load_add_24, add_word_24
words_function me_mul_words, load_mul, mul_word, 1

/* s4 words; s5 and s6 steps of a and b after a row of words; s7, s8 and s9 steps of a, b and y after a
 * run; s10 turns, s11 runs */
.macro runs_of word, single
    me_cache_line
.Lrun\@:
    lp_setup 1, s10, .Lturn_last\@
    lp_setup 0, s4, .Lword_last\@
    .if \single
    p_lb_r t5, s5, a1
    p_lw_r t6, s6, a2
    pv_shuffle_b t5, t5, zero
    .else
    p_lw_r t5, s5, a1
    p_lw_r t6, s6, a2
    .endif
    \word
.Lword_last\@:
    p_sw t6, 4, a3
    add a1, a1, a5
.Lturn_last\@:
    add a2, a2, a6
    addi s11, s11, -1
    add a1, a1, s7
    add a2, a2, s8
    add a3, a3, s9
    bnez s11, .Lrun\@
.endm

/* a0 op, a1 block; s2 and s3 as `load` sets them; with an order: s4 words, s5 index of the word, s6 order,
 * s8 a */
.macro block_of load, swap, word
    addi sp, sp, -48
    me_saved sw
    \load
    lw a4, AT_SWAPPED(a1)
    beqz a4, .Las_given\@
    \swap
.Las_given\@:
    lw a2, AT_BLOCK_B(a1)
    lw a3, AT_BLOCK_Y(a1)
    lw s10, AT_TURNS(a1)
    lw s4, AT_WORDS(a1)
    lw a5, AT_A_TURN(a1)
    lw a6, AT_B_TURN(a1)
    lw s6, AT_ORDER(a1)
    bnez s6, .Lordered\@
    lw s11, AT_RUNS(a1)
    lw s5, AT_A_WORD(a1)
    lw s6, AT_B_WORD(a1)
    lw s7, AT_A_RUN(a1)
    lw s8, AT_B_RUN(a1)
    lw s9, AT_Y_RUN(a1)
    lw a4, AT_SINGLE(a1)
    lw a1, AT_BLOCK_A(a1)
    bnez a4, .Lsingle\@
    runs_of \word, 0
    j .Ldone\@
.Lsingle\@:
    runs_of \word, 1
    j .Ldone\@
.Lordered\@:
    lw a1, AT_BLOCK_A(a1)
    mv s5, s6
    me_cache_line
    lp_setup 1, s10, .Lordered_turn_last\@
    p_lw_r s8, a5, a1
    lp_setup 0, s4, .Lordered_word_last\@
    p_lw t5, 4, s5
    p_lw t6, 4, a2
    pv_shuffle_b t5, s8, t5
    \word
.Lordered_word_last\@:
    p_sw t6, 4, a3
    mv s5, s6
.Lordered_turn_last\@:
    add a2, a2, a6
.Ldone\@:
    me_saved lw
    addi sp, sp, 48
    ret
.endm
me_function me_add_word_loops
    block_of load_add, swap, add_word
me_end me_add_word_loops
me_function me_add_word_loops_8
    block_of load_add_8, swap_8, add_word_8
me_end me_add_word_loops_8
me_function me_add_word_loops_24
    block_of load_add_24, swap_24, add_word_24
me_end me_add_word_loops_24
me_function me_mul_word_loops
    block_of load_mul, swap, mul_word
me_end me_mul_word_loops

/* a0 op, a1 a, a2 b, a3 y, a4 n; values of a_size, b_size and y_size bytes */
.macro wide_sums a_load, a_size, b_load, b_size, y_store, y_size, limited
    lp_setup 0, a4, .Lwide_last\@
    \a_load t0, \a_size, a1
    \b_load t1, \b_size, a2
    mul t2, t0, t3
    p_mac t2, t1, t4
    p_addN_r t2, t5, t6
    .if \limited
    p_max t2, t2, a5
    p_min t2, t2, a6
    .else
    p_clip16 t2, t2
    .endif
.Lwide_last\@:
    \y_store t2, \y_size, a3
    ret
.endm
.macro wide_sums_to y_store, y_size, limited
    lw t0, 0(a0)
    lw t1, 4(a0)
    beqz t0, 1f
    beqz t1, 2f
    wide_sums p_lh, 2, p_lh, 2, \y_store, \y_size, \limited
2:  wide_sums p_lh, 2, p_lb, 1, \y_store, \y_size, \limited
1:  beqz t1, 2f
    wide_sums p_lb, 1, p_lh, 2, \y_store, \y_size, \limited
2:  wide_sums p_lb, 1, p_lb, 1, \y_store, \y_size, \limited
.endm
me_function me_add_s16_row
    lw t2, 8(a0)
    lw t3, 12(a0)
    lw t4, 16(a0)
    lw t5, 20(a0)
    lw t6, 24(a0)
    lw a5, 28(a0)
    lw a6, 32(a0)
    beqz t2, .Lwide_to_bytes
    sub t0, a6, a5
    addi t0, t0, 1
    srli t0, t0, 16             /* 1 if the limits are those of 16 bits */
    beqz t0, .Lwide_to_limits
    wide_sums_to p_sh, 2, 0
.Lwide_to_limits:
    wide_sums_to p_sh, 2, 1
.Lwide_to_bytes:
    wide_sums_to p_sb, 1, 1
me_end me_add_s16_row

#endif
