/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"

void me_gru_reset_first_state_s8(const me_gru_reset_first_state_s8_params *op,
                                 const me_gru_reset_first_state_s8_tile *tile)
{
    me_recurrent_run_reset_first(op, tile, 0, 1, me_reset_units, me_renew_units);
    me_recurrent_put_state(op, tile->y, 1);
}
