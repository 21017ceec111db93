/* SPDX-License-Identifier: Apache-2.0 */
#include "me_maximum_s16.h"

#include "me_share.h"
#include "me_wide.h"

/* n results from one on; a and b at these elements. */
static void compare(const me_maximum_s16_params *params, const me_maximum_s16_tile *tile, int32_t a,
                    int32_t b, int32_t y, int32_t n)
{
    const me_maximum_s16_params op = *params;
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

static void look_up(const int8_t *table, int8_t *y, int32_t n)
{
    for (; n > 0; n--, y++)
        *y = me_lookup(table, *y);
}

void me_maximum_s16(const me_maximum_s16_params *op, const me_maximum_s16_tile *tile)
{
    const int32_t width = tile->n, last = ME_LAST(tile->rows * width);
    for (int32_t at = ME_FIRST(tile->rows * width), n; at < last; at += n) {
        const int32_t row = at / width, column = at - row * width;
        n = me_min(width - column, last - at);
        compare(op, tile, row * tile->a_row + (op->a_once ? 0 : column),
                row * tile->b_row + (op->b_once ? 0 : column), at, n);
        if (op->scale.table)
            look_up(op->scale.table, (int8_t *)tile->y + at, n);
    }
}
