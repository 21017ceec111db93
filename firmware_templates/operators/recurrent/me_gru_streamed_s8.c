/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent_streamed.h"

#include "me_recurrent_streamed_steps.h"

void me_gru_streamed_s8(const me_gru_streamed_s8_params *op, const me_gru_streamed_s8_tile *tile)
{
    me_recurrent_run_streamed(op, tile, 3, 1, me_gru_units);
}
