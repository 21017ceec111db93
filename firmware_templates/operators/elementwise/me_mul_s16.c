/* SPDX-License-Identifier: Apache-2.0 */
#include "me_mul_s16.h"

#include "me_share.h"
#include "me_wide.h"

/* n results from one on; a and b at these elements. Copies of what is read: stores could change them. */
static void multiply(const me_mul_s16_params *params, const me_mul_s16_tile *tile, int32_t a, int32_t b,
                     int32_t y, int32_t n)
{
    const me_mul_s16_params op = *params;
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

static void look_up(const int8_t *table, int8_t *y, int32_t n)
{
    for (; n > 0; n--, y++)
        *y = me_lookup(table, *y);
}

void me_mul_s16(const me_mul_s16_params *op, const me_mul_s16_tile *tile)
{
    const int32_t width = tile->n, last = ME_LAST(tile->rows * width);
    for (int32_t at = ME_FIRST(tile->rows * width), n; at < last; at += n) {
        const int32_t row = at / width, column = at - row * width;
        n = width - column < last - at ? width - column : last - at;
        multiply(op, tile, row * tile->a_row + (op->a_once ? 0 : column),
                 row * tile->b_row + (op->b_once ? 0 : column), at, n);
        if (op->scale.table)
            look_up(op->scale.table, (int8_t *)tile->y + at, n);
    }
}
