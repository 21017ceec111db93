/* SPDX-License-Identifier: Apache-2.0 */
#include "me_integers.h"

#include "me_share.h"

void me_integer_cumsum_s32(const me_integer_cumsum_s32_params *params, const me_integer_cumsum_s32_tile *tile)
{
    const me_integer_cumsum_s32_params op = *params;
    const int32_t inner = tile->inner, signals = tile->outer * inner;
    for (int32_t signal = ME_FIRST(signals); signal < ME_LAST(signals); signal++) {
        int32_t at = signal / inner * op.n * inner + signal % inner;
        uint32_t sum = tile->first ? (uint32_t)tile->first[signal] : 0;
        for (int32_t t = 0; t < op.n; t++, at += inner) {
            sum += (uint32_t)me_integer_at(tile->x, at, op.x_type, op.x_zero);
            tile->y[at] = (int32_t)sum;
        }
    }
}
