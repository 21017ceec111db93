/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent_streamed.h"

#include "me_recurrent_streamed_steps.h"
#include "me_rnn_units.h"

void me_rnn_streamed_s16(const me_rnn_streamed_s16_params *op, const me_rnn_streamed_s16_tile *tile)
{
    me_recurrent_run_streamed(op, tile, 1, 2, me_rnn_wide_units);
}
