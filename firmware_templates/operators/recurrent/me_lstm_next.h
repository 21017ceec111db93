/* SPDX-License-Identifier: Apache-2.0
 * One step of an LSTM without its products, on operands in L1. Cores 0 .. 7 call a kernel together; each computes its
 * share, and no barrier is inside. Rows and units are at least 1; gates and what is added have any 16 bits.
 */
#ifndef ME_LSTM_NEXT_H
#define ME_LSTM_NEXT_H

#include <stdint.h>

/* units     of a row      cell_bits   5 to 14: fraction bits of c      c_wide   whether the last c is int16
 * c_*, y_*  factors of the last c and of the next one; mult 0 to 32,767, shift 0 to 30
 * result_shift   1 to 30: from Q30 to h
 * sigmoid, tanh  int16 [513] in Q15, over +-16 and +-8 */
typedef struct {
    int32_t units, cell_bits, c_wide, c_mult, c_offset, c_shift, y_mult, y_offset, y_shift, result_shift;
    const int16_t *sigmoid, *tanh;
} me_lstm_next_params;

/* gates, added   int16 [rows][units][4], in steps of 1/1024
 * c              int8 or int16 [rows][units]      y   the same of int8, or int16 of _s16 */
typedef struct {
    const int16_t *gates, *added;
    const void *c;
    void *y;
    int32_t rows;
} me_lstm_next_tile;

typedef me_lstm_next_params me_lstm_next_s8_params, me_lstm_next_s16_params, me_lstm_next_cell_s8_params,
    me_lstm_next_cell_s16_params;
typedef me_lstm_next_tile me_lstm_next_s8_tile, me_lstm_next_s16_tile, me_lstm_next_cell_s8_tile,
    me_lstm_next_cell_s16_tile;

/* h, of the sums i, f, g, o of gates and added: h = clip((s(o) * tanh(c) + half) >> result_shift), half
 * 2^(result_shift - 1), c = clip16((s(f) * last + (s(i) * tanh(g) >> (15 - cell_bits)) + 2^14) >> 15), last the last c in
 * cell_bits; s the sigmoid, all functions in Q15. */
void me_lstm_next_s8(const me_lstm_next_s8_params *op, const me_lstm_next_s8_tile *tile);
void me_lstm_next_s16(const me_lstm_next_s16_params *op, const me_lstm_next_s16_tile *tile);

/* The next c, clip((c * y_mult + y_offset) >> y_shift), with the same ranges. */
void me_lstm_next_cell_s8(const me_lstm_next_cell_s8_params *op, const me_lstm_next_cell_s8_tile *tile);
void me_lstm_next_cell_s16(const me_lstm_next_cell_s16_params *op, const me_lstm_next_cell_s16_tile *tile);

#endif
