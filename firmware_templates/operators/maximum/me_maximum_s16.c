/* SPDX-License-Identifier: Apache-2.0 */
#include "me_maximum_s16.h"

static void compare(const void *params, const me_wide_pairs_tile *tile, int32_t a, int32_t b, int32_t y,
                    int32_t n)
{
    const me_maximum_s16_params op = *(const me_maximum_s16_params *)params;
    const int32_t a_step = !op.a_once, b_step = !op.b_once;
    const void *const lefts = tile->a, *const rights = tile->b;
    void *const results = tile->y;
    for (; n > 0; n--, a += a_step, b += b_step, y++) {
        const int32_t left = me_mac(op.a_offset, me_wide_load(lefts, a, op.a_wide), op.a_mult) >> op.a_shift;
        const int32_t right =
            me_mac(op.b_offset, me_wide_load(rights, b, op.b_wide), op.b_mult) >> op.b_shift;
        me_limited_store(results, y, op.y_wide, me_max(left, right), op.scale.low, op.scale.high);
    }
}

void me_maximum_s16(const me_maximum_s16_params *op, const me_maximum_s16_tile *tile)
{
    me_each_wide_pair(tile, compare, op, op->a_once, op->b_once, op->scale.table);
}
