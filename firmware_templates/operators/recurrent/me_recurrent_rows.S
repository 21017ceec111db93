/* SPDX-License-Identifier: Apache-2.0
 * me_recurrent_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 weights, a2 words, a3 sums */
me_function me_four_sums
    lw t0, 0(a3)
    lw t1, 4(a3)
    lw t2, 8(a3)
    lw t3, 12(a3)
    lp_setup 0, a2, .Lsums_last
    p_lw t4, 4, a0
    p_lw a4, 4, a1
    p_lw a5, 4, a1
    p_lw a6, 4, a1
    p_lw a7, 4, a1
    pv_sdotsp_b t0, t4, a4
    pv_sdotsp_b t1, t4, a5
    pv_sdotsp_b t2, t4, a6
.Lsums_last:
    pv_sdotsp_b t3, t4, a7
    sw t0, 0(a3)
    sw t1, 4(a3)
    sw t2, 8(a3)
    sw t3, 12(a3)
    ret
me_end me_four_sums

    .set OF_H, 0                /* me_units */
    .set OF_WORDS, 4
    .set OF_WEIGHTS, 8
    .set OF_CHANNELS, 12
    .set OF_NOW, 16
    .set OF_STATE, 20
    .set OF_SIGMOID, 24
    .set OF_TANH, 28
    .set OF_TO, 32
    .set OF_Y, 36
    .set OF_PRE, 40
    .set OF_UNITS, 44
    .set OF_KEEP, 48
    .set OF_LAYER, 52
    .set LAYER_RESULT_SHIFT, 100        /* me_recurrent_params */
    .set LAYER_GATE_BITS, 104
    .set LAYER_CELL_BITS, 108
    .set LAYER_NEW_MULT, LAYER_GATE_BITS
    .set LAYER_NEW_OFFSET, LAYER_CELL_BITS
    .set LAYER_NEW_SHIFT, 112

/* a0 h, a1 weights, a2 words, a3 channels, a4 gates of the input, a5 states, a6 and a7 the tables of
 * sigmoid and tanh, s0 h of the next step, s1 y, s2 pre, s6 64, s7 32; loop 1 counts units; the number of
 * saved registers from s0 on varies */
.macro begin_units saved=8
    addi sp, sp, -48
    me_saved sw, \saved
    lw a1, OF_WEIGHTS(a0)
    lw a2, OF_WORDS(a0)
    lw a3, OF_CHANNELS(a0)
    lw a4, OF_NOW(a0)
    lw a5, OF_STATE(a0)
    lw a6, OF_SIGMOID(a0)
    lw a7, OF_TANH(a0)
    lw s0, OF_TO(a0)
    lw s1, OF_Y(a0)
    lw s2, OF_PRE(a0)
    lw t0, OF_UNITS(a0)
    lw a0, OF_H(a0)
    li s6, 64
    li s7, 32
.endm
.macro end_units saved=8
    me_saved lw, \saved
    addi sp, sp, 48
    ret
.endm

/* Dot products of h with \count of a unit's \rows gates from \first on, one per register from t0 on. a1:
 * the unit's weights of the first row; advances to the next unit. */
.macro products name, first, count, rows, dot=pv_sdotsp_b
    sums_from \first, \count
    added_products \name, \count, \rows, \dot
    requantised_gates \first, \count, \rows
.endm
.macro sums_from first, count
    lw t0, 16 * \first(a3)
.if \count > 1
    lw t1, 16 * \first + 16(a3)
.endif
.if \count > 2
    lw t2, 16 * \first + 32(a3)
.endif
.if \count > 3
    lw t3, 16 * \first + 48(a3)
.endif
.endm
.macro added_products name, count, rows, dot
    mv s3, a0
    lp_setup 0, a2, .L\name\()_products
    p_lw t4, 4, s3
.if \count == 1
    p_lw t5, 4 * \rows, a1
    nop
.elseif \count == 2
    p_lw t5, 4, a1
    p_lw t6, 4 * \rows - 4, a1
    \dot t0, t4, t5
.elseif \count == 3
    p_lw t5, 4, a1
    p_lw t6, 4, a1
    p_lw s4, 4 * \rows - 8, a1
    \dot t0, t4, t5
    \dot t1, t4, t6
.else
    p_lw t5, 4, a1
    p_lw t6, 4, a1
    p_lw s4, 4, a1
    p_lw s5, 4, a1
    \dot t0, t4, t5
    \dot t1, t4, t6
    \dot t2, t4, s4
.endif
.L\name\()_products:
.if \count == 1
    \dot t0, t4, t5
.elseif \count == 2
    \dot t1, t4, t6
.elseif \count == 3
    \dot t2, t4, s4
.else
    \dot t3, t4, s5
.endif
.endm
.macro requantised_gates first, count, rows
.if \count == 1
    requantised t0, 16 * \first
.else
    both_requantised t0, t1, 16 * \first
.endif
.if \count == 3
    requantised t2, 16 * \first + 32
.elseif \count == 4
    both_requantised t2, t3, 16 * \first + 32
.endif
    addi a3, a3, 16 * \rows
.endm
.macro requantised x, channel
    lw t4, \channel + 4(a3)
    lw t5, \channel + 8(a3)
    sra \x, \x, s2
    lw t6, \channel + 12(a3)
    mul \x, \x, t4
    nop
    p_addN_r \x, t5, t6
    p_clip16 \x, \x
.endm
/* requantises this channel and the next one, interleaved, so that neither waits for its product */
.macro both_requantised x, y, channel
    lw t4, \channel + 4(a3)
    sra \x, \x, s2
    lw t5, \channel + 8(a3)
    mul \x, \x, t4
    lw t6, \channel + 12(a3)
    lw t4, \channel + 20(a3)
    sra \y, \y, s2
    p_addN_r \x, t5, t6
    lw t5, \channel + 24(a3)
    mul \y, \y, t4
    lw t6, \channel + 28(a3)
    p_clip16 \x, \x
    p_addN_r \y, t5, t6
    p_clip16 \y, \y
.endm

/* x = the function at x, interpolated between two adjacent table entries, loaded together; entries are
 * 2**bits apart, whole = 2**bits */
.macro between x, table, bits, clip, whole
    \clip \x, \x
    srai t4, \x, \bits
    slli t4, t4, 1
    andi t6, \x, (1 << \bits) - 1
    p_lw_at t5, t4, \table
    sub t4, \whole, t6
    pv_pack_h t6, t6, t4
    pv_dotsp_h \x, t5, t6
    p_round \x, \x, \bits
.endm

/* t0 .. t3 contributions of h to the gates -> t0 the new c, stored at a5, t3 the output gate; sigmoid,
 * tanh: bits between entries for gates; down, by: right shift of the term that is added to c */
.macro renewed_cell sigmoid, sigmoid_clip, tanh, tanh_clip, down, by
    p_lh t4, 2, a4
    p_lh t5, 2, a4
    p_lh t6, 2, a4
    p_lh s3, 2, a4
    add t0, t0, t4
    add t1, t1, t5
    add t2, t2, t6
    add t3, t3, s3
    between t0, a6, \sigmoid, \sigmoid_clip, s6
    between t2, a7, \tanh, \tanh_clip, s7
    between t1, a6, \sigmoid, \sigmoid_clip, s6
    lh s3, 0(a5)
    mul t0, t0, t2
    between t3, a6, \sigmoid, \sigmoid_clip, s6
    \down t0, t0, \by
    p_mac t0, t1, s3
    p_round t0, t0, 15
    p_clip16 t0, t0
    p_sh t0, 2, a5
.endm
/* t0 .. t3 as in renewed_cell -> t0 the new h in Q30, available to the next instruction but one */
.macro lstm_result
    renewed_cell 6, p_clip15, 5, p_clip14, srai, 4
    between t0, a7, 6, p_clip15, s6
    mul t0, t0, t3
    nop
.endm
.macro lstm_cell
    lstm_result
    p_round t0, t0, 23
.endm

/* Dot products of h with the gates, one per register from t0 on; if `words` is 0, h points to the finished
 * sums. */
.macro signed_products name, gates
    products \name, 0, \gates, \gates
.endm
.macro wide_products name, gates
    products \name, 0, \gates, \gates, pv_sdotsp_h
.endm
.macro unsigned_products name, gates
    sums_from 0, \gates
    beqz a2, .L\name\()_summed
    added_products \name, \gates, \gates, pv_sdotusp_b
    j .L\name\()_gates
.L\name\()_summed:
    p_lw t4, 4, a0
    p_lw t5, 4, a0
    p_lw t6, 4, a0
.if \gates == 4
    p_lw s3, 4, a0
.endif
    add t0, t0, t4
    add t1, t1, t5
    add t2, t2, t6
.if \gates == 4
    add t3, t3, s3
.endif
.L\name\()_gates:
    requantised_gates 0, \gates, \gates
.endm

/* t0 the new gate in steps of the state, t1 the update gate, t3 the state; updates the state */
.macro mixed
    sub t3, t3, t0
    mul t1, t1, t3
    nop
    p_round t1, t1, 15
    add t0, t0, t1
    p_clip15 t0, t0
    p_sh t0, 2, a5
.endm
/* t0 the input of the new gate, t1 the update gate, t3 the state */
.macro renewed
    between t0, a7, 5, p_clip14, s7
    p_round t0, t0, 1
    mixed
    p_round t0, t0, 7
.endm

/* t0 .. t2 contributions of h to the gates -> t0 the new h; updates the state */
.macro gru_state renewed=renewed
    p_lh t4, 2, a4
    p_lh t5, 2, a4
    add t0, t0, t4
    add t1, t1, t5
    between t0, a6, 6, p_clip15, s6
    p_lh s3, 2, a4
    mul t0, t0, t2              /* h's part of the new gate, times the reset gate */
    lh t3, 0(a5)
    p_round t0, t0, 15
    add t0, t0, s3
    between t1, a6, 6, p_clip15, s6
    \renewed
.endm

/* -> t0 the state times the reset gate; stores the update gate at s1 */
.macro reset_gates name, dot
    products \name, 0, 2, 3, \dot
    p_lh t4, 2, a4
    p_lh t5, 4, a4
    add t0, t0, t4
    add t1, t1, t5
    between t0, a6, 6, p_clip15, s6
    p_lh t3, 2, a5
    between t1, a6, 6, p_clip15, s6
    mul t0, t0, t3
    p_sh t1, 2, s1
    p_round t0, t0, 15
.endm

/* stores h in t0 at s0 and s1, as signed, unsigned or 16-bit values; defines the label at a loop's end */
.macro put_signed name
    p_clip8 t0, t0
    p_sb t0, 1, s0
.L\name\()_last:
    p_sb t0, 1, s1
.endm
.macro put_unsigned name
    p_clip8 t0, t0
    p_sb t0, 1, s1
    xori t0, t0, -128
.L\name\()_last:
    p_sb t0, 1, s0
.endm
.macro put_wide name
    p_clip16 t0, t0
    put_kept \name
.endm
.macro put_kept name
    p_sh t0, 2, s0
.L\name\()_last:
    p_sh t0, 2, s1
.endm

/* loop and end of a function for units, with the given products, result and store */
.macro run_units name, gates, form, result, put, saved=8
    lp_setup 1, t0, .L\name\()_last
    \form\()_products \name, \gates
    \result
    put_\put \name
    end_units \saved
.endm
.macro units name, gates, form, result
me_function me_\name\()_units
    begin_units
    run_units \name, \gates, \form, \result, \form
me_end me_\name\()_units
.endm

units lstm, 4, signed, lstm_cell
units lstm_unsigned, 4, unsigned, lstm_cell
units gru, 3, signed, gru_state
units gru_unsigned, 3, unsigned, gru_state

/* s8 the right shift of an int16 LSTM's result, s9 half of 1 << s8 */
.macro lstm_wide_result
    lstm_result
    p_addN_r t0, s9, s8
.endm
me_function me_lstm_wide_units
    lw t6, OF_LAYER(a0)
    begin_units 10
    lw s8, LAYER_RESULT_SHIFT(t6)
    li s9, 1
    sll s9, s9, s8
    srai s9, s9, 1
    run_units lstm_wide, 4, wide, lstm_wide_result, wide, 10
me_end me_lstm_wide_units

/* scaled LSTM. s8 and s10 bits and distance of tanh's entries at c, s9 right shift of the result, s11
 * right shift of the term that is added to c; gates have 10 fraction bits, or 14 or 8 at
 * .L\name\()_other */
.macro begin_scaled_units name
    lw t6, OF_LAYER(a0)
    begin_units 12
    lw s8, LAYER_CELL_BITS(t6)
    lw s9, LAYER_RESULT_SHIFT(t6)
    lw t6, LAYER_GATE_BITS(t6)
    li s11, 15
    sub s11, s11, s8
    addi s8, s8, -5
    li s10, 1
    sll s10, s10, s8
    addi t6, t6, -10
    bnez t6, .L\name\()_other
.endm
/* for begin_scaled_units, if sums of two int16 values do not exceed the tables */
.macro fine_gates
    li s6, 1024
    li s7, 512
.endm
.macro in_reach x, y
.endm
.macro coarse_gates
    li s6, 16
    li s7, 8
.endm
/* as `between`, with bits and whole in registers */
.macro scaled_between x, table, bits, whole
    slli t5, \whole, 8
    addi t4, t5, -1
    p_min \x, \x, t4
    neg t5, t5
    p_max \x, \x, t5
    sra t4, \x, \bits
    slli t4, t4, 1
    addi t6, \whole, -1
    and t6, \x, t6
    p_lw_at t5, t4, \table
    sub t4, \whole, t6
    pv_pack_h t6, t6, t4
    pv_dotsp_h \x, t5, t6
    srai t4, \whole, 1
    p_addN_r \x, t4, \bits
.endm
/* as lstm_result, t0 the new h in its own steps */
.macro scaled_result sigmoid, sigmoid_clip, tanh, tanh_clip
    renewed_cell \sigmoid, \sigmoid_clip, \tanh, \tanh_clip, sra, s11
    scaled_between t0, a7, s8, s10
    mul t0, t0, t3
    li s4, 1
    sll s4, s4, s9
    srai s4, s4, 1
    p_addN_r t0, s4, s9
.endm
.macro scaled_gates
    scaled_result 6, p_clip15, 5, p_clip14
.endm
.macro scaled_fine_gates
    scaled_result 10, in_reach, 9, in_reach
.endm
.macro scaled_coarse_gates
    scaled_result 4, p_clip13, 3, p_clip12
.endm

.macro scaled_units name, form
me_function me_lstm_\name\()_units
    begin_scaled_units \name
    run_units \name, 4, \form, scaled_gates, \form, 12
.L\name\()_other:
    bltz t6, .L\name\()_coarse
    fine_gates
    run_units \name\()_of_fine, 4, \form, scaled_fine_gates, \form, 12
.L\name\()_coarse:
    coarse_gates
    run_units \name\()_of_coarse, 4, \form, scaled_coarse_gates, \form, 12
me_end me_lstm_\name\()_units
.endm

scaled_units scaled, signed
scaled_units scaled_unsigned, unsigned
scaled_units scaled_wide, wide

/* loads s8, s9, s10 multiplier, offset and shift of the new gate of an int16 GRU */
.macro begin_gru_units
    lw t6, OF_LAYER(a0)
    begin_units 11
    lw s8, LAYER_NEW_MULT(t6)
    lw s9, LAYER_NEW_OFFSET(t6)
    lw s10, LAYER_NEW_SHIFT(t6)
.endm
.macro renewed_wide
    between t0, a7, 5, p_clip14, s7
    mul t0, t0, s8
    nop
    p_addN_r t0, s9, s10
    p_clip16 t0, t0
    mixed
.endm
.macro gru_wide_state
    gru_state renewed_wide
.endm
me_function me_gru_wide_units
    begin_gru_units
    run_units gru_wide, 3, wide, gru_wide_state, kept, 11
me_end me_gru_wide_units

/* the two parts of a GRU that resets h before the product; put_reset stores t0, the reset state, at s0 */
.macro put_reset_signed name
    p_round t0, t0, 7
    p_clip8 t0, t0
.L\name\()_last:
    p_sb t0, 1, s0
.endm
.macro put_reset_wide name
.L\name\()_last:
    p_sh t0, 2, s0
.endm
.macro reset_units name, form, dot
me_function me_gru_\name\()_units
    lw t1, OF_KEEP(a0)
    begin_units
    mv s1, t1
    lp_setup 1, t0, .L\name\()_last
    reset_gates \name, \dot
    put_reset_\form \name
    end_units
me_end me_gru_\name\()_units
.endm
.macro renew_units name, dot, begin, saved, renewed, put
me_function me_gru_\name\()_units
    lw t4, OF_KEEP(a0)
    \begin
    mv s5, t4
    addi a1, a1, 8
    addi a4, a4, 4
    lp_setup 1, t0, .L\name\()_last
    products \name, 2, 1, 3, \dot
    p_lh t4, 6, a4
    p_lh t1, 2, s5
    lh t3, 0(a5)
    add t0, t0, t4
    \renewed
    put_\put \name
    end_units \saved
me_end me_gru_\name\()_units
.endm

reset_units reset, signed, pv_sdotsp_b
reset_units reset_wide, wide, pv_sdotsp_h
renew_units renew, pv_sdotsp_b, begin_units, 8, renewed, signed
renew_units renew_wide, pv_sdotsp_h, begin_gru_units, 11, renewed_wide, kept

/* requantises the sums of one channel for four rows; a6 pre */
.macro scaled_column channel, x0, x1, x2, x3
    lw a3, \channel + 4(a5)
    lw a4, \channel + 8(a5)
    lw a7, \channel + 12(a5)
    .irp x, \x0, \x1, \x2, \x3
    sra \x, \x, a6
    .endr
    .irp x, \x0, \x1, \x2, \x3
    mul \x, \x, a3
    .endr
    .irp x, \x0, \x1, \x2, \x3
    p_addN_r \x, a4, a7
    .endr
    .irp x, \x0, \x1, \x2, \x3
    p_clip16 \x, \x
    .endr
.endm

/* a0 me_linear_s8_s16_block */
me_function me_linear_s8_s16_4x4
    addi sp, sp, -80
    me_saved sw
    sw ra, 48(sp)
    lw a5, 16(a0)
    lw a2, 8(a0)
    lw a7, 24(a0)
    lw a3, 32(a0)
    mv ra, a0
.Lgates_block:
    sw a3, 52(sp)               /* blocks left, channels, y of this one */
    sw a5, 56(sp)
    sw a7, 60(sp)
    mv a0, ra
    lw a3, 12(a0)
    lw a1, 4(a0)
    lw a0, 0(a0)
    lw t0, 0(a5)
    lw t1, 16(a5)
    lw t2, 32(a5)
    lw t3, 48(a5)
    mv t4, t0
    mv t5, t1
    mv t6, t2
    mv s0, t3
    mv s1, t0
    mv s2, t1
    mv s3, t2
    mv s4, t3
    mv s5, t0
    mv s6, t1
    mv s7, t2
    mv s8, t3
    me_block_4x4 pv_sdotsp_b, pv_sdotsp_b
    lw a5, 56(sp)
    lw a6, 20(ra)
    lw a1, 60(sp)
    scaled_column 0, t0, t4, s1, s5
    scaled_column 16, t1, t5, s2, s6
    scaled_column 32, t2, t6, s3, s7
    scaled_column 48, t3, s0, s4, s8
    lw a0, 28(ra)
    mv a7, a1
    pv_pack_h t0, t1, t0
    pv_pack_h t2, t3, t2
    sw t0, 0(a1)
    sw t2, 4(a1)
    add a1, a1, a0
    pv_pack_h t4, t5, t4
    pv_pack_h t6, s0, t6
    sw t4, 0(a1)
    sw t6, 4(a1)
    add a1, a1, a0
    pv_pack_h s1, s2, s1
    pv_pack_h s3, s4, s3
    sw s1, 0(a1)
    sw s3, 4(a1)
    add a1, a1, a0
    pv_pack_h s5, s6, s5
    pv_pack_h s7, s8, s7
    sw s5, 0(a1)
    sw s7, 4(a1)
    lw a3, 52(sp)
    addi a7, a7, 8
    addi a5, a5, 64
    addi a3, a3, -1
    bnez a3, .Lgates_block
    me_saved lw
    lw ra, 48(sp)
    addi sp, sp, 80
    ret
me_end me_linear_s8_s16_4x4

#endif
