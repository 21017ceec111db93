/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"

void me_lstm_cell_scaled_s8(const me_lstm_cell_scaled_s8_params *op, const me_lstm_cell_scaled_s8_tile *tile)
{
    me_recurrent_run(op, tile, 0, 4, 1, me_lstm_scaled_units);
    me_recurrent_put_state(op, tile->y, 1);
}
