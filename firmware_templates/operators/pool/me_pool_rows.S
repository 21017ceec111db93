/* SPDX-License-Identifier: Apache-2.0
 * me_pool_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

    .set OF_TAPS_X, 0           /* me_taps */
    .set OF_Y, 4
    .set OF_TAP, 8
    .set OF_TAP_WORDS, 24
    .set OF_PIXELS, 28
    .set OF_ROOM, 32
    .set OF_WIDTH, 36
    .set OF_X_PIXEL, 40
    .set OF_Y_PIXEL, 44
    .set OF_X_ROW, 48
    .set OF_BIAS, 52
    .set OF_PRE, 56
    .set OF_MULT, 60
    .set OF_OFFSET, 64
    .set OF_SHIFT, 68
    .set OF_LOW, 72
    .set OF_HIGH, 76

    .set OF_X, 0                /* me_big_window */
    .set OF_WINDOW_Y, 4
    .set OF_WORDS, 8
    .set OF_ROWS, 12
    .set OF_COLUMNS, 16
    .set OF_COLUMN_STEP, 20
    .set OF_ROW_STEP, 24
    .set OF_X_STEP, 28
    .set OF_Y_STEP, 32
    .set OF_SCALE, 36

.macro load_taps
    lw a2, OF_TAPS_X(a0)
    lw a1, OF_TAP(a0)
    lw a5, OF_Y(a0)
    lw a3, OF_TAP + 8(a0)
    lw a4, OF_TAP + 12(a0)
    add a1, a1, a2
    add a3, a3, a2
    add a4, a4, a2
    lw t0, OF_TAP + 4(a0)
    lw t6, OF_TAP_WORDS(a0)
    lw s9, OF_PIXELS(a0)
    add a2, a2, t0
    lw s10, OF_ROOM(a0)
    lw t0, OF_WIDTH(a0)
    slli s11, t6, 2
.endm

/* The taps go on by x; \more: the first of them is y, which goes on by y. */
.macro step_taps x, y, more
.if \more
    add a1, a5, \y
.else
    add a1, a1, \x
.endif
    add a2, a2, \x
    add a3, a3, \x
    add a4, a4, \x
.endm

/* words of results, `inner` of them `outer` times; then the end of the share, or of a row */
.macro pieces outer, inner, name, body, more
    lp_setup 1, \outer, .Louter\@
    lp_setup 0, \inner, .Linner\@
    \body
.Linner\@:
    p_sw_r t0, a7, a5
    step_taps s0, s1, \more
.Louter\@:
    add a5, a5, s1
    beqz s9, .L\name\()_done
    lw t0, OF_X_ROW(a0)
    lw s10, OF_WIDTH(a0)
.endm

/* One piece of a row after the other: t4 pixels of t6 words, the longer of both in the inner loop,
 * where \body reads taps a1 .. a4 and makes t0. s9: pixels left, s10: those of this row, s11: bytes
 * of a pixel's words. */
.macro each_piece name, body, more=0
    p_min t0, t0, s9
    blt t6, t0, .L\name\()_by_pixel
    lw s0, OF_X_PIXEL(a0)
    lw s1, OF_Y_PIXEL(a0)
    li a6, 4
    li a7, 4
    sub s0, s0, s11
    sub s1, s1, s11
.L\name\()_words:
    p_min t4, s9, s10
    sub s9, s9, t4
    pieces t4, t6, \name, "\body", \more
    step_taps t0, x0, \more
    j .L\name\()_words
.L\name\()_by_pixel:
    lw a6, OF_X_PIXEL(a0)
    lw a7, OF_Y_PIXEL(a0)
.L\name\()_pixels:
    p_min t4, s9, s10
    sub s9, s9, t4
    li s0, 4
    li s1, 4
    p_msu s0, t4, a6
    p_msu s1, t4, a7
    pieces t6, t4, \name, "\body", \more
    sub a5, a5, s11
    sub t0, t0, s11
    p_mac a5, t4, a7
    p_mac t0, t4, a6
    step_taps t0, x0, \more
    j .L\name\()_pixels
.L\name\()_done:
.endm

.macro most_of_four first
    p_lw_r t0, \first, a1
    p_lw_r t1, a6, a2
    p_lw_r t2, a6, a3
    p_lw_r t3, a6, a4
    pv_max_b t0, t0, t1
    pv_max_b t2, t2, t3
    pv_max_b t0, t0, t2
.endm

.macro max_function name, more
me_function \name
    addi sp, sp, -32
    sw s0, 0(sp)
    sw s1, 4(sp)
    sw s9, 8(sp)
    sw s10, 12(sp)
    sw s11, 16(sp)
    load_taps
.if \more
    mv a1, a5
    each_piece \name, "most_of_four a7", 1
.else
    each_piece \name, "most_of_four a6"
.endif
    lw s0, 0(sp)
    lw s1, 4(sp)
    lw s9, 8(sp)
    lw s10, 12(sp)
    lw s11, 16(sp)
    addi sp, sp, 32
    ret
me_end \name
.endm

max_function me_max_words, 0
max_function me_max_more, 1

.macro save
    addi sp, sp, -64
    me_saved sw
    sw ra, 48(sp)
.endm
.macro restore
    me_saved lw
    lw ra, 48(sp)
    addi sp, sp, 64
    ret
.endm

/* s0 .. s6: bias, pre, mult, offset, shift, low, high; s7 .. s10 take one byte of a word each */
.macro load_scale base
    lw s0, \base + OF_BIAS(a0)
    lw s1, \base + OF_PRE(a0)
    lw s2, \base + OF_MULT(a0)
    lw s3, \base + OF_OFFSET(a0)
    lw s4, \base + OF_SHIFT(a0)
    lw s5, \base + OF_LOW(a0)
    lw s6, \base + OF_HIGH(a0)
    li s7, 1
    slli s8, s7, 8
    slli s9, s7, 16
    slli s10, s7, 24
.endm

/* sums x0 .. x3 -> a word in x0 */
.macro average x0, x1, x2, x3, pre, limits=1
.if \pre
    p_addN_r \x0, s0, s1
    p_addN_r \x1, s0, s1
    p_addN_r \x2, s0, s1
    p_addN_r \x3, s0, s1
.endif
    mul \x0, \x0, s2
    mul \x1, \x1, s2
    mul \x2, \x2, s2
    mul \x3, \x3, s2
    p_addN_r \x0, s3, s4
    p_addN_r \x1, s3, s4
    p_addN_r \x2, s3, s4
    p_addN_r \x3, s3, s4
    p_clip8 \x0, \x0
    p_clip8 \x1, \x1
    p_clip8 \x2, \x2
    p_clip8 \x3, \x3
    pv_packlo_b \x0, \x1, \x0
    pv_packhi_b \x0, \x3, \x2
.if \limits
    pv_max_b \x0, \x0, s5
    pv_min_b \x0, \x0, s6
.endif
.endm

/* bytes of four words added up, requantised: a word in t0 */
.macro average_of_four limits
    p_lw_r t0, a6, a1
    p_lw_r t1, a6, a2
    p_lw_r t2, a6, a3
    p_lw_r t3, a6, a4
    pv_pack_h t5, t1, t0        /* bytes 0, 1 of taps 0, 1 */
    srli t0, t0, 16
    pv_pack_h ra, t3, t2
    srli t2, t2, 16
    p_insert_low t1, t0         /* bytes 2, 3 of taps 0, 1 */
    p_insert_low t3, t2
    pv_dotsp_b t0, t5, s7
    pv_dotsp_b t5, t5, s8
    pv_dotsp_b t2, t1, s7
    pv_dotsp_b t1, t1, s8
    pv_sdotsp_b t0, ra, s7
    pv_sdotsp_b t5, ra, s8
    pv_sdotsp_b t2, t3, s7
    pv_sdotsp_b t1, t3, s8
    average t0, t5, t2, t1, 0, \limits
.endm

/* the same of two words */
.macro average_of_two
    p_lw_r t0, a6, a1
    p_lw_r t1, a6, a2
    srli t2, t0, 16
    pv_pack_h t5, t1, t0
    p_insert_low t1, t2
    pv_dotsp_b t0, t5, s7
    pv_dotsp_b t5, t5, s8
    pv_dotsp_b t2, t1, s7
    pv_dotsp_b t1, t1, s8
    average t0, t5, t2, t1, 0
.endm

.macro average_function name
me_function \name
    save
    load_scale 0
    li s7, 0x00010001           /* bytes 0 and 2 of a word */
    slli s8, s7, 8              /* bytes 1 and 3 */
    p_mac s3, s0, s2            /* (sum + bias) * mult + offset, modulo 2^32 */
    load_taps
.endm

average_function me_average_words
    li t1, 0x80808080
    not t2, t1
    bne s5, t1, .Laverage_limited
    bne s6, t2, .Laverage_limited
    each_piece me_average_words, "average_of_four 0"
    restore
.Laverage_limited:
    each_piece me_average_words_limited, "average_of_four 1"
    restore
me_end me_average_words

average_function me_average_pairs
    each_piece me_average_pairs, average_of_two
    restore
me_end me_average_pairs

.macro window_sizes
    lw a1, OF_X(a0)
    lw a2, OF_WINDOW_Y(a0)
    lw a3, OF_WORDS(a0)
    lw a4, OF_ROWS(a0)
    lw a5, OF_COLUMNS(a0)
    lw a6, OF_COLUMN_STEP(a0)
    lw a7, OF_ROW_STEP(a0)
    lw t6, OF_X_STEP(a0)
.endm

me_function me_max_window
    window_sizes
    lw t5, OF_Y_STEP(a0)
    li t4, 0x80808080
.Lmax_word:
    mv t0, t4
    mv t1, a1
    lp_setup 1, a4, .Lmax_row_last
    lp_setup 0, a5, .Lmax_column_last
    p_lw_r t2, a6, t1
    nop
.Lmax_column_last:
    pv_max_b t0, t0, t2
    nop
.Lmax_row_last:
    add t1, t1, a7
    add a1, a1, t6
    p_sw_r t0, t5, a2
    addi a3, a3, -1
    bnez a3, .Lmax_word
    ret
me_end me_max_window

me_function me_average_window
    save
    window_sizes
    load_scale OF_SCALE
.Laverage_word:
    mv s11, a1
    li t0, 0
    li t1, 0
    li t2, 0
    li t3, 0
    lp_setup 1, a4, .Laverage_row_last
    lp_setup 0, a5, .Laverage_column_last
    p_lw_r t5, a6, s11
    nop
    pv_sdotsp_b t0, t5, s7
    pv_sdotsp_b t1, t5, s8
    pv_sdotsp_b t2, t5, s9
.Laverage_column_last:
    pv_sdotsp_b t3, t5, s10
    nop
.Laverage_row_last:
    add s11, s11, a7
    average t0, t1, t2, t3, 1
    lw t5, OF_Y_STEP(a0)
    add a1, a1, t6
    p_sw_r t0, t5, a2
    addi a3, a3, -1
    bnez a3, .Laverage_word
    restore
me_end me_average_window

/* a0 x, a1 words */
me_function me_sum_bytes
    li t0, 0x01010101
    li t2, 0
    srli t3, a1, 1
    beqz t3, .Lsum_one
    lp_setup 0, t3, .Lsum_last
    p_lw t1, 4, a0
    p_lw t4, 4, a0
    pv_sdotsp_b t2, t1, t0
.Lsum_last:
    pv_sdotsp_b t2, t4, t0
.Lsum_one:
    andi a1, a1, 1
    beqz a1, .Lsum_done
    lw t1, 0(a0)
    nop
    pv_sdotsp_b t2, t1, t0
.Lsum_done:
    mv a0, t2
    ret
me_end me_sum_bytes

#endif
