/* SPDX-License-Identifier: Apache-2.0 */
#include "me_wide_pairs.h"

/* Copies of what is read: stores could change them. */
static void multiply(const void *params, const me_wide_pairs_tile *tile, int32_t a, int32_t b, int32_t y,
                     int32_t n)
{
    const me_mul_s16_params op = *(const me_mul_s16_params *)params;
    const int32_t a_step = !op.a_once, b_step = !op.b_once;
    const void *const lefts = tile->a, *const rights = tile->b;
    void *const results = tile->y;
    for (; n > 0; n--, a += a_step, b += b_step, y++) {
        const int32_t left = me_wide_load(lefts, a, op.a_wide) - op.a_zero;
        const int32_t right = me_wide_load(rights, b, op.b_wide) - op.b_zero;
        const int32_t q = me_requant(left * right, op.scale.pre, op.mult, op.offset, op.shift);
        me_limited_store(results, y, op.y_wide, q, op.scale.low, op.scale.high);
    }
}

void me_mul_s16(const me_mul_s16_params *op, const me_mul_s16_tile *tile)
{
    me_each_wide_pair(tile, multiply, op, op->a_once, op->b_once, op->scale.table);
}
