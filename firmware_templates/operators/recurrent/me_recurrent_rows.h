/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of recurrent layers: a step of some units. Two bodies: me_recurrent_rows.S
 * for GAP9's cores, me_recurrent_rows.c in C; plain layers have C alone.
 */
#ifndef ME_RECURRENT_ROWS_H
#define ME_RECURRENT_ROWS_H

#include <stdint.h>

#include "me_recurrent.h"

/* Adds to four sums the products of `words` words of x, at least one, with packed weights: for every
 * word of x four, one a sum. */
void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum);

/* One step of some units, at least one: what `words` words of h add to their gates, and what becomes
 * of their states. The tables' middles; now: the units' gates of this step's input; state: c, or a GRU's
 * 16-bit h; y is written like `to` (they may be the same); keep: where a GRU that resets first has its
 * update gates between its two parts. me_recurrent_rows.S knows these offsets. */
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

/* By cell. h, weights and y are int8; wide: int16, two in a word; unsigned: h and `to` are h + 128, y is not `to`, and
 * without words h is the gates' sums, int32. Scaled: with the layer's result_shift, gate_bits and cell_bits. */
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

/* A GRU that resets h before its product (ONNX linear_before_reset = 0): `to`, not y, becomes h as the new gate sees it;
 * then the step from this h. */
void me_gru_reset_units(const me_units *some);
void me_gru_reset_wide_units(const me_units *some);
void me_gru_renew_units(const me_units *some);
void me_gru_renew_wide_units(const me_units *some);

/* `blocks` blocks of four channels, at least one, of four rows, as me_linear_s8_s16_params has them: `words` words of
 * each row, at least one, x_stride bytes apart; y_stride bytes between rows of y.
 * me_recurrent_rows.S knows these offsets. */
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
