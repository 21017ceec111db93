/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gains.h"

#include "me_math.h"
#include "me_share.h"
#include "me_wide.h"

void me_gains_s16(const me_gains_s16_params *params, const me_gains_s16_tile *tile)
{
    const me_gains_s16_params op = *params;
    for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++)
        for (int32_t c = 0; c < op.channels; c++) {
            const int32_t i = row * op.channels + c;
            const int32_t acc = (me_wide_load(tile->x, i, op.x_wide) - op.x_zero) * tile->gain[c];
            const int32_t scaled = me_requant(acc, op.scale.pre, op.mult, op.offset, op.shift);
            me_wide_store(tile->y, i, op.y_wide, &op.scale, scaled);
        }
}
