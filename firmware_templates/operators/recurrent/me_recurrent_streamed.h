/* SPDX-License-Identifier: Apache-2.0
 * Recurrent layers whose weights do not fit L1, on operands in L1. A tile is a part of the units in one step:
 * weights of some units stay in L1, those of the others come with each tile, in every step again. All of
 * cores 0 .. 7 call a kernel and share the units of its tile; there is no barrier at the end.
 */
#ifndef ME_RECURRENT_STREAMED_H
#define ME_RECURRENT_STREAMED_H

#include <stdint.h>

#include "me_recurrent.h"

/* layer           weights, channels: of the units that stay, which are the first
 * resident_units  their number
 * puts_state      whether y is the state after the last step, as of me_lstm_cell_s8 and me_gru_state_s8 */
typedef struct {
    me_recurrent_params layer;
    int32_t resident_units, puts_state;
} me_recurrent_streamed_params;

/* gates, y        of the step: int16 [batch][units][4, 3 or 1], [batch][units]
 * weights, channels   of `units` units, of those that do not stay from number `first` on
 * resident_first, resident_end   units that stay, of this tile
 * done            steps before this one     ends   whether nothing comes after the tile */
typedef struct {
    const int16_t *gates;
    int8_t *y;
    const int8_t *weights;
    const me_channel *channels;
    int32_t first, units, resident_first, resident_end, done, ends;
} me_recurrent_streamed_tile;

typedef me_recurrent_streamed_params me_lstm_streamed_s8_params, me_lstm_streamed_s16_params,
    me_lstm_streamed_scaled_s8_params, me_lstm_streamed_scaled_s16_params, me_gru_streamed_s8_params,
    me_gru_streamed_s16_params, me_rnn_streamed_s8_params, me_rnn_streamed_s16_params;
typedef me_recurrent_streamed_tile me_lstm_streamed_s8_tile, me_lstm_streamed_s16_tile,
    me_lstm_streamed_scaled_s8_tile, me_lstm_streamed_scaled_s16_tile, me_gru_streamed_s8_tile,
    me_gru_streamed_s16_tile, me_rnn_streamed_s8_tile, me_rnn_streamed_s16_tile;

/* A step of me_lstm_s8, me_gru_s8 or me_rnn_s8 (me_recurrent.h), of part of its units, with their ranges: h, weights
 * and results are int8; if puts_state, y is the last state, int8 or int16. A barrier is inside the first tile and, if
 * puts_state, the last one. */
void me_lstm_streamed_s8(const me_lstm_streamed_s8_params *op, const me_lstm_streamed_s8_tile *tile);
void me_gru_streamed_s8(const me_gru_streamed_s8_params *op, const me_gru_streamed_s8_tile *tile);
void me_rnn_streamed_s8(const me_rnn_streamed_s8_params *op, const me_rnn_streamed_s8_tile *tile);

/* The same with h, weights and results of int16, and the same ranges. */
void me_lstm_streamed_s16(const me_lstm_streamed_s16_params *op, const me_lstm_streamed_s16_tile *tile);
void me_gru_streamed_s16(const me_gru_streamed_s16_params *op, const me_gru_streamed_s16_tile *tile);
void me_rnn_streamed_s16(const me_rnn_streamed_s16_params *op, const me_rnn_streamed_s16_tile *tile);

/* A step of me_lstm_scaled_s8 and me_lstm_scaled_s16, of part of its units, with their ranges. */
void me_lstm_streamed_scaled_s8(const me_lstm_streamed_scaled_s8_params *op,
                                const me_lstm_streamed_scaled_s8_tile *tile);
void me_lstm_streamed_scaled_s16(const me_lstm_streamed_scaled_s16_params *op,
                                 const me_lstm_streamed_scaled_s16_tile *tile);

#endif
