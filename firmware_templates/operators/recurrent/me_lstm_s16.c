/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"

void me_lstm_s16(const me_lstm_s16_params *op, const me_lstm_s16_tile *tile)
{
    me_recurrent_run(op, tile, tile->y, 4, 2, me_lstm_wide_units);
}
