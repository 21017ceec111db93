/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent_streamed.h"

#include "me_recurrent_streamed_steps.h"

void me_lstm_streamed_s16(const me_lstm_streamed_s16_params *op, const me_lstm_streamed_s16_tile *tile)
{
    me_recurrent_run_streamed(op, tile, 4, 2, me_lstm_wide_units);
}
