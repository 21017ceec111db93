/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"

void me_gru_reset_first_state_s16(const me_gru_reset_first_state_s16_params *op,
                                  const me_gru_reset_first_state_s16_tile *tile)
{
    me_recurrent_run_reset_first(op, tile, 0, 2, me_reset_wide_units, me_renew_wide_units);
    me_recurrent_put_state(op, tile->y, 2);
}
