/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_recurrent.h"

#include "me_ne16_recurrent_steps.h"

void me_ne16_gru_s8(const me_ne16_gru_s8_params *op, const me_ne16_gru_s8_tile *tile)
{
    me_ne16_recurrent_run(op, tile, 3, me_gru_unsigned_units);
}
