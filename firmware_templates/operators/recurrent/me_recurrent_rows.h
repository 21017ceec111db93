/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of recurrent layers: one step of some units. Implementations: me_recurrent_rows.S for
 * GAP9's cores, me_recurrent_rows.c in portable C; the Elman RNN has only C.
 */
#ifndef ME_RECURRENT_ROWS_H
#define ME_RECURRENT_ROWS_H

#include <stdint.h>

#include "me_recurrent.h"

/* Adds to four sums the products of words >= 1 words of x with packed weights: for every word of x, one
 * word of weights per sum. */
void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum);

/* One step of units >= 1 units: adds the products of `words` words of h to their gates and updates their
 * states.
 * sigmoid, tanh  the middle of each table
 * now            contributions of this step's input to the gates
 * state          c, or a GRU's 16-bit h
 * to, y          destinations of h; they may be equal
 * keep           update gates of a GRU that resets first, between the two parts of its step
 * me_recurrent_rows.S knows these offsets. */
typedef struct {
    const int8_t *h;
    int32_t words;
    const int8_t *weights;
    const me_channel *channels;
    const int16_t *now;
    int16_t *state;
    const int16_t *sigmoid, *tanh;
    int8_t *to, *y;
    int32_t pre, units;
    int16_t *keep;
    const me_recurrent_params *layer;
} me_units;

/* Step functions by cell; h, weights and y are int8. wide: int16, two per word. unsigned: h and `to` are h
 * + 128, y differs from `to`, and if `words` is 0, h points to the gates' int32 sums. scaled: uses the
 * layer's result_shift, gate_bits and cell_bits. */
void me_lstm_units(const me_units *some);
void me_lstm_unsigned_units(const me_units *some);
void me_lstm_wide_units(const me_units *some);
void me_lstm_scaled_units(const me_units *some);
void me_lstm_scaled_unsigned_units(const me_units *some);
void me_lstm_scaled_wide_units(const me_units *some);
void me_gru_units(const me_units *some);
void me_gru_unsigned_units(const me_units *some);
void me_gru_wide_units(const me_units *some);
void me_rnn_units(const me_units *some);
void me_rnn_wide_units(const me_units *some);

/* A GRU that resets h before its product (ONNX linear_before_reset = 0), in two parts: reset writes the
 * reset h to `to` (not y), renew computes the step from this h. */
void me_gru_reset_units(const me_units *some);
void me_gru_reset_wide_units(const me_units *some);
void me_gru_renew_units(const me_units *some);
void me_gru_renew_wide_units(const me_units *some);

/* Blocks of a linear layer as in me_linear_s8_s16_params: blocks >= 1 blocks of four channels, for four
 * rows of words >= 1 words, x_stride bytes apart; rows of y are y_stride bytes apart. me_recurrent_rows.S
 * knows these offsets. */
typedef struct {
    const int8_t *x;
    int32_t x_stride;
    const int8_t *weights;
    int32_t words;
    const me_channel *channels;
    int32_t pre;
    int16_t *y;
    int32_t y_stride, blocks;
} me_linear_s8_s16_block;

void me_linear_s8_s16_4x4(const me_linear_s8_s16_block *block);

#endif
