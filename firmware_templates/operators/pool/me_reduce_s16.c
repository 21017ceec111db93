/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool_s16.h"

#include "me_share.h"
#include "me_wide.h"

/* `reduced` numbers from one on, `step` apart. */
static int32_t sum_of(const me_reduce_s16_params *op, const void *x, int32_t at, int32_t step)
{
    const int16_t *halves = (const int16_t *)x + at;
    const int8_t *bytes = (const int8_t *)x + at;
    int32_t sum = -op->x_zero * op->reduced;
    if (op->x_wide)
        for (int32_t i = 0; i < op->reduced; i++, halves += step)
            sum += *halves;
    else
        for (int32_t i = 0; i < op->reduced; i++, bytes += step)
            sum += *bytes;
    return sum;
}

void me_reduce_s16(const me_reduce_s16_params *op, const me_reduce_s16_tile *tile)
{
    const int32_t inner = tile->inner, n = tile->outer * inner;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const int32_t row = inner == 1 ? i : i / inner, column = i - row * inner;
        const int32_t sum = sum_of(op, tile->x, row * op->reduced * inner + column, inner);
        const int32_t q = me_requant(sum, op->scale.pre, op->each->mult, op->each->offset, op->each->shift);
        me_wide_store(tile->y, i, op->y_wide, &op->scale, q);
    }
}
