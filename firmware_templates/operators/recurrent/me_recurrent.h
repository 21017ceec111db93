/* SPDX-License-Identifier: Apache-2.0
 * LSTM, GRU and plain recurrent layers on operands in L1. All of cores 0 .. 7 call a kernel and share its work: the units,
 * for every step. A barrier is after the first states are set, and after each step, the last one too (two in a step of
 * kernels that reset first).
 *
 * Of all kernels: units, batch, steps at least 1; channels' mult 0 to 32,767, shift 0 to 30, pre 0 to 20; factors of
 * states and results (h_*, c_*, x_*, y_*) mult 0 to 32,767, shift 0 to 30; result_shift 1 to 30. All sums stay
 * inside int32; results are rounded to nearest. Gates are int16; docs/integer-semantics.md has the formulas.
 * _s8 and _s16 name the type of h, of the weights, and of results of all steps; a last state is int8, or int16 if
 * y_wide. states, weights and channels are aligned to 4.
 *
 * Gates lie unit by unit, four (input, forget, cell, output), three (reset, update, new) or one each.
 * Weights are packed: for every unit a row a gate, for every four columns a word a row; zeros fill the
 * last word. Channels: one for every gate.
 */
#ifndef ME_RECURRENT_H
#define ME_RECURRENT_H

#include <stdint.h>

#include "me_scale.h"

/* states   me_states_bytes; they stay from tile to tile
 * h0, c0   [batch][units], with their factors: read at the first step
 * h0_wide, c0_wide, y_wide   whether h0, c0 and what kernels of a cell or state give are int16
 * reverse  whether steps go from the last to the first
 * result_shift     of an LSTM of int16, or a scaled one: from Q30 to h
 * new_*    of a GRU of int16: factors of its new gate
 * gate_bits, cell_bits   of a scaled LSTM: fraction bits of the gates' sums, 8, 10 or 14, and of c, 5 to 15
 * relu, x_*, y_*   of plain layers: their function, and factors of gates and of its results */
typedef struct {
    int32_t units, batch, reverse, pre, h0_wide, c0_wide, y_wide;
    const int8_t *weights;
    const me_channel *channels;
    const int16_t *sigmoid, *tanh;
    const int8_t *h0, *c0;
    int32_t h_mult, h_offset, h_shift, c_mult, c_offset, c_shift, y_mult, y_offset, y_shift;
    int32_t relu, x_mult, x_offset, x_shift;
    int32_t result_shift;
    union {
        struct {
            int32_t new_mult, new_offset, new_shift;
        };
        struct {
            int32_t gate_bits, cell_bits;
        };
    };
    int8_t *states;
} me_recurrent_params;

/* gates    int16 [steps][batch][units][4, 3 or 1]
 * y        int8, or int16 of kernels of 16 bits: [steps][batch][units]; of the kernels of a cell or state the last one, [batch][units]
 * done     steps before these */
typedef struct {
    const int16_t *gates;
    int8_t *y;
    int32_t steps, done;
} me_recurrent_tile;

typedef me_recurrent_params me_lstm_s8_params, me_lstm_cell_s8_params, me_lstm_scaled_s8_params,
    me_lstm_cell_scaled_s8_params, me_gru_s8_params, me_gru_state_s8_params, me_rnn_s8_params,
    me_gru_reset_first_s8_params, me_gru_reset_first_state_s8_params, me_lstm_s16_params,
    me_lstm_cell_s16_params, me_lstm_scaled_s16_params, me_lstm_cell_scaled_s16_params, me_gru_s16_params,
    me_gru_state_s16_params, me_rnn_s16_params, me_gru_reset_first_s16_params,
    me_gru_reset_first_state_s16_params;
typedef me_recurrent_tile me_lstm_s8_tile, me_lstm_cell_s8_tile, me_lstm_scaled_s8_tile,
    me_lstm_cell_scaled_s8_tile, me_gru_s8_tile, me_gru_state_s8_tile, me_rnn_s8_tile,
    me_gru_reset_first_s8_tile, me_gru_reset_first_state_s8_tile, me_lstm_s16_tile, me_lstm_cell_s16_tile,
    me_lstm_scaled_s16_tile, me_lstm_cell_scaled_s16_tile, me_gru_s16_tile, me_gru_state_s16_tile,
    me_rnn_s16_tile, me_gru_reset_first_s16_tile, me_gru_reset_first_state_s16_tile;

/* LSTM of int8, c with 11 fraction bits, h with 7: the hidden states of all steps, int8, or the cell state
 * after the last one, int8 or int16. */
void me_lstm_s8(const me_lstm_s8_params *op, const me_lstm_s8_tile *tile);
void me_lstm_cell_s8(const me_lstm_cell_s8_params *op, const me_lstm_cell_s8_tile *tile);

/* GRU of int8, its state with 14 fraction bits, h with 7: the hidden states of all steps, int8, or the one
 * after the last step, int8 or int16. */
void me_gru_s8(const me_gru_s8_params *op, const me_gru_s8_tile *tile);
void me_gru_state_s8(const me_gru_state_s8_params *op, const me_gru_state_s8_tile *tile);

/* Plain recurrent layer of int8, with tanh or relu: the hidden states of all steps. */
void me_rnn_s8(const me_rnn_s8_params *op, const me_rnn_s8_tile *tile);

/* GRU that resets h before its product for the new gate (ONNX linear_before_reset = 0): twice as many
 * states. */
void me_gru_reset_first_s8(const me_gru_reset_first_s8_params *op, const me_gru_reset_first_s8_tile *tile);
void me_gru_reset_first_state_s8(const me_gru_reset_first_state_s8_params *op,
                                 const me_gru_reset_first_state_s8_tile *tile);

/* The same with int16 h, weights and results; weights are packed two columns per word. */
void me_lstm_s16(const me_lstm_s16_params *op, const me_lstm_s16_tile *tile);
void me_lstm_cell_s16(const me_lstm_cell_s16_params *op, const me_lstm_cell_s16_tile *tile);
void me_gru_s16(const me_gru_s16_params *op, const me_gru_s16_tile *tile);
void me_gru_state_s16(const me_gru_state_s16_params *op, const me_gru_state_s16_tile *tile);
void me_rnn_s16(const me_rnn_s16_params *op, const me_rnn_s16_tile *tile);
void me_gru_reset_first_s16(const me_gru_reset_first_s16_params *op, const me_gru_reset_first_s16_tile *tile);
void me_gru_reset_first_state_s16(const me_gru_reset_first_state_s16_params *op,
                                  const me_gru_reset_first_state_s16_tile *tile);

/* LSTM with separate quantisation steps of c, the gate sums and int8 h. */
void me_lstm_scaled_s8(const me_lstm_scaled_s8_params *op, const me_lstm_scaled_s8_tile *tile);
void me_lstm_cell_scaled_s8(const me_lstm_cell_scaled_s8_params *op, const me_lstm_cell_scaled_s8_tile *tile);
void me_lstm_scaled_s16(const me_lstm_scaled_s16_params *op, const me_lstm_scaled_s16_tile *tile);
void me_lstm_cell_scaled_s16(const me_lstm_cell_scaled_s16_params *op,
                             const me_lstm_cell_scaled_s16_tile *tile);

/* Bytes of two vectors h with elements of this size, each padded to words, and of the 16-bit state. */
static inline int32_t me_states_bytes(int32_t batch, int32_t units, int32_t bytes)
{
    return batch * (2 * ((bytes * units + 3) / 4 * 4) + (2 * units + 3) / 4 * 4);
}

#endif
