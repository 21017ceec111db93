/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"
#include "me_rnn_units.h"

void me_rnn_s16(const me_rnn_s16_params *op, const me_rnn_s16_tile *tile)
{
    me_recurrent_run(op, tile, tile->y, 1, 2, me_rnn_wide_units);
}
