/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"
#include "me_rnn_units.h"

void me_rnn_s8(const me_rnn_s8_params *op, const me_rnn_s8_tile *tile)
{
    me_recurrent_run(op, tile, tile->y, 1, 1, me_rnn_units);
}
