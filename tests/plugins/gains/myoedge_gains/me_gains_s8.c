/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gains.h"

#include "me_math.h"
#include "me_share.h"

void me_gains_s8(const me_gains_s8_params *params, const me_gains_s8_tile *tile)
{
    const me_gains_s8_params op = *params;
    for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++)
        for (int32_t c = 0; c < op.channels; c++) {
            const int32_t i = row * op.channels + c;
            const int32_t acc = (tile->x[i] - op.x_zero) * tile->gain[c];
            const int32_t scaled = me_requant(acc, op.scale.pre, op.mult, op.offset, op.shift);
            const int8_t y = me_clip(scaled, op.scale.low, op.scale.high);
            tile->y[i] = op.scale.table ? me_lookup(op.scale.table, y) : y;
        }
}
