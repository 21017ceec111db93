/* SPDX-License-Identifier: Apache-2.0 */
#include "me_cumsum.h"

#include "me_math.h"
#include "me_share.h"

void me_cumsum_s8(const me_cumsum_s8_params *params, const me_cumsum_s8_tile *tile)
{
    const me_cumsum_s8_params op = *params;
    const int32_t inner = tile->inner, signals = tile->outer * inner;
    for (int32_t signal = ME_FIRST(signals); signal < ME_LAST(signals); signal++) {
        int32_t sum = 0, at = signal / inner * op.n * inner + signal % inner;
        for (int32_t t = 0; t < op.n; t++, at += inner) {
            sum += tile->x[at] - op.x_zero;
            const int32_t scaled = me_requant(sum, op.scale.pre, op.mult, op.offset, op.shift);
            const int8_t y = me_clip(scaled, op.scale.low, op.scale.high);
            tile->y[at] = op.scale.table ? me_lookup(op.scale.table, y) : y;
        }
    }
}
