/* SPDX-License-Identifier: Apache-2.0 */
#include "me_cumsum_s16.h"

#include "me_share.h"
#include "me_wide.h"

void me_cumsum_s16(const me_cumsum_s16_params *params, const me_cumsum_s16_tile *tile)
{
    const me_cumsum_s16_params op = *params;
    const int32_t inner = tile->inner, signals = tile->outer * inner;
    for (int32_t signal = ME_FIRST(signals); signal < ME_LAST(signals); signal++) {
        int32_t sum = 0, at = signal / inner * op.n * inner + signal % inner;
        for (int32_t t = 0; t < op.n; t++, at += inner) {
            sum += me_wide_load(tile->x, at, op.x_wide) - op.x_zero;
            const int32_t scaled = me_requant(sum, op.scale.pre, op.mult, op.offset, op.shift);
            me_wide_store(tile->y, at, op.y_wide, &op.scale, scaled);
        }
    }
}
