/* SPDX-License-Identifier: Apache-2.0 */
#include "me_cumsum_s16.h"

#include "me_share.h"
#include "me_wide.h"

static inline void store_sum(const me_cumsum_s16_params *op, void *y, int32_t at, int32_t sum)
{
    me_wide_store(y, at, op->y_wide, &op->scale,
                  me_requant(sum, op->scale.pre, op->mult, op->offset, op->shift));
}

/* Sums of one signal in 64 bits. */
static void long_sums(const me_cumsum_s16_params *op, const me_cumsum_s16_tile *tile, int32_t at)
{
    int64_t sum = (int64_t)1 << op->drop >> 1;
    for (int32_t t = 0; t < op->n; t++, at += tile->inner) {
        sum += me_wide_load(tile->x, at, op->x_wide) - op->x_zero;
        store_sum(op, tile->y, at, (int32_t)(sum >> op->drop));
    }
}

void me_cumsum_s16(const me_cumsum_s16_params *params, const me_cumsum_s16_tile *tile)
{
    const me_cumsum_s16_params op = *params;
    const int32_t inner = tile->inner, signals = tile->outer * inner;
    for (int32_t signal = ME_FIRST(signals); signal < ME_LAST(signals); signal++) {
        int32_t sum = 0, at = signal / inner * op.n * inner + signal % inner;
        if (op.drop)
            long_sums(&op, tile, at);
        for (int32_t t = 0; !op.drop && t < op.n; t++, at += inner) {
            sum += me_wide_load(tile->x, at, op.x_wide) - op.x_zero;
            store_sum(&op, tile->y, at, sum);
        }
    }
}
