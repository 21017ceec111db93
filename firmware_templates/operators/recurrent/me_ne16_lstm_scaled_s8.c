/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_recurrent.h"

#include "me_ne16_recurrent_steps.h"

void me_ne16_lstm_scaled_s8(const me_ne16_lstm_scaled_s8_params *op, const me_ne16_lstm_scaled_s8_tile *tile)
{
    me_ne16_recurrent_run(op, tile, 4, me_lstm_scaled_unsigned_units);
}
