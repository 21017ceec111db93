/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"

void me_gru_state_s16(const me_gru_state_s16_params *op, const me_gru_state_s16_tile *tile)
{
    me_recurrent_run(op, tile, 0, 3, 2, me_gru_wide_units);
    me_recurrent_put_state(op, tile->y, 2);
}
