/* SPDX-License-Identifier: Apache-2.0
 * First steps of LSTM and GRU from states of zero, on operands in L1. Cores 0 .. 7 call a kernel together; each
 * computes its share, and no barrier is inside. Rows and units are at least 1; gates and own have any 16 bits.
 */
#ifndef ME_RECURRENT_START_H
#define ME_RECURRENT_START_H

#include <stdint.h>

/* units    of a row      result_shift   1 to 30: from Q30 to h
 * sigmoid, tanh   int16 [513] in Q15, over +-16 and +-8
 * own      int16 [units], of a GRU: what h of zero adds to the new gates, in steps of 1/1024 */
typedef struct {
    int32_t units, result_shift;
    const int16_t *sigmoid, *tanh, *own;
} me_recurrent_start_params;

/* gates    int16 [rows][units][3], in steps of 1/1024
 * y        int8, or int16 of _s16: [rows][units] */
typedef struct {
    const int16_t *gates;
    void *y;
    int32_t rows;
} me_recurrent_start_tile;

typedef me_recurrent_start_params me_lstm_start_s8_params, me_lstm_start_s16_params, me_gru_start_s8_params,
    me_gru_start_s16_params;
typedef me_recurrent_start_tile me_lstm_start_s8_tile, me_lstm_start_s16_tile, me_gru_start_s8_tile,
    me_gru_start_s16_tile;

/* h of an LSTM, gates i, g, o: h = clip((s(o) * tanh(c) + half) >> result_shift), c = (s(i) * tanh(g) + 2^14) >> 15;
 * s the sigmoid, all functions in Q15, half 2^(result_shift - 1). */
void me_lstm_start_s8(const me_lstm_start_s8_params *op, const me_lstm_start_s8_tile *tile);
void me_lstm_start_s16(const me_lstm_start_s16_params *op, const me_lstm_start_s16_tile *tile);

/* h of a GRU, gates r, z, n: h = clip((new * (2^15 - s(z)) + half) >> result_shift),
 * new = tanh(n + ((s(r) * own + 2^14) >> 15)). */
void me_gru_start_s8(const me_gru_start_s8_params *op, const me_gru_start_s8_tile *tile);
void me_gru_start_s16(const me_gru_start_s16_params *op, const me_gru_start_s16_tile *tile);

#endif
