/* SPDX-License-Identifier: Apache-2.0
 * LSTM and GRU on NE16 and the cores, of one sequence, on operands in L1. Cores 0 .. 7 call a kernel together: in each
 * step the engine multiplies h with the weights of some units, a job of a single row, while the cores compute the
 * others.
 */
#ifndef ME_NE16_RECURRENT_H
#define ME_NE16_RECURRENT_H

#include <stdint.h>

#include "me_recurrent.h"

/* cell     as of me_lstm_s8 or me_gru_s8, batch 1; weights of the units after the engine's, biases of all units less
 *          128 times a row of weights; states: me_states_bytes, after them a sum of 4 bytes for each gate of the
 *          engine's units
 * engine_units   a multiple of 8, fewer than all
 * weight_bits    of a weight of theirs, 2 to 8
 * planes   their weights: for each gate, for each bit, lowest first, a bit of every 8 inputs a byte, units up to a
 *          multiple of 16 */
typedef struct {
    me_recurrent_params cell;
    int32_t engine_units, weight_bits;
    const uint8_t *planes;
} me_ne16_recurrent_params;

typedef me_ne16_recurrent_params me_ne16_lstm_s8_params, me_ne16_lstm_scaled_s8_params, me_ne16_gru_s8_params;
typedef me_recurrent_tile me_ne16_lstm_s8_tile, me_ne16_lstm_scaled_s8_tile, me_ne16_gru_s8_tile;

/* Hidden states of all steps, int8: the integers and ranges of me_lstm_s8, me_lstm_scaled_s8 and me_gru_s8
 * (me_recurrent.h), weights of the engine's units of 2 to 8 bits. Two barriers are in each step. */
void me_ne16_lstm_s8(const me_ne16_lstm_s8_params *op, const me_ne16_lstm_s8_tile *tile);
void me_ne16_lstm_scaled_s8(const me_ne16_lstm_scaled_s8_params *op, const me_ne16_lstm_scaled_s8_tile *tile);
void me_ne16_gru_s8(const me_ne16_gru_s8_params *op, const me_ne16_gru_s8_tile *tile);

#endif
