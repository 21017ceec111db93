/* SPDX-License-Identifier: Apache-2.0 */
#include "me_whole_norm.h"

#include "me_math.h"
#include "me_share.h"

void me_whole_norm_s8(const me_whole_norm_s8_params *params, const me_whole_norm_s8_tile *tile)
{
    const me_whole_norm_s8_params op = *params;
    for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++) {
        const int8_t *x = tile->x + row * op.length;
        int8_t *y = tile->y + row * op.length;
        int32_t sum = 0, squares = 0;
        for (int32_t i = 0; op.centred && i < op.length; i++)
            sum += x[i] - op.x_zero;
        const int32_t middle = op.x_zero + sum / op.length;
        for (int32_t i = 0; i < op.length; i++)
            squares += (x[i] - middle) * (x[i] - middle);
        const int32_t deviation = (int32_t)me_root((uint32_t)(squares / op.length + 1));
        for (int32_t i = 0; i < op.length; i++) {
            const int32_t v =
                ((x[i] - middle) * op.pairs[i].gain / deviation + op.pairs[i].offset) >> op.shift;
            y[i] = op.centred ? (int8_t)(uint8_t)v : (int8_t)me_clip(v, -128, 127);
        }
    }
}
