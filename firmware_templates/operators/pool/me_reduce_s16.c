/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool_s16.h"

#include "me_share.h"
#include "me_wide.h"

void me_reduce_s16(const me_reduce_s16_params *op, const me_reduce_s16_tile *tile)
{
    const int32_t inner = tile->inner, n = tile->outer * inner;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const int32_t row = inner == 1 ? i : i / inner, column = i - row * inner;
        const int32_t sum =
            me_sum_of_wide(tile->x, row * op->reduced * inner + column, op->reduced, inner, op->x_wide)
            - op->x_zero * op->reduced;
        const int32_t q = me_requant(sum, op->scale.pre, op->each->mult, op->each->offset, op->each->shift);
        me_wide_store(tile->y, i, op->y_wide, &op->scale, q);
    }
}
