/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include "me_recurrent_steps.h"

void me_gru_s16(const me_gru_s16_params *op, const me_gru_s16_tile *tile)
{
    me_recurrent_run(op, tile, tile->y, 3, 2, me_gru_wide_units);
}
