/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_share.h"
#include "me_wide_rows.h"

/* A row that is hidden whole is seen whole. */
static void see_blind(me_wide_row *row, int32_t flat)
{
    for (int32_t at = 0; at < row->n * row->step; at += row->step)
        if (row->mask[at] >= 0)
            return;
    row->mask = 0;
    row->equal = flat;
}

/* How exponentials become results: inverse is 2**31 over the mantissa of their sum. */
typedef struct {
    uint32_t inverse, mult, half;
    int32_t shift, zero, low, high, y_wide;
} me_shares;

static inline me_shares shares_of(const me_softmax_s16_params *op, uint32_t sum)
{
    const int32_t halvings = me_fl1(sum) - 15, shift = me_min(op->shift + halvings, 31);
    return (me_shares){
        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): the largest score adds to it */
        0x80000000u / (sum >> halvings),
        (uint32_t)op->mult,
        (1u << shift) >> 1,
        shift,
        op->zero,
        op->low,
        op->high,
        op->y_wide,
    };
}

/* masked   a constant */
static inline void softmax_row(const me_softmax_s16_params *op, me_wide_row row, void *y, int32_t first,
                               int32_t masked)
{
    const me_exponentials exp = op->exp;
    const int32_t end = row.n * row.step, step = row.step, most = me_wide_row_max(row, masked);
    const me_shares to = shares_of(op, me_wide_row_sum(row, exp, most, masked));
    for (int32_t at = 0; at < end; at += step) {
        uint32_t share = 0;
        if (me_is_seen(row, at, masked))
            share = me_exponential(exp, most - me_number_at(row, at, masked)) * to.inverse >> 15;
        const int32_t number = (int32_t)((share * to.mult + to.half) >> to.shift) + to.zero;
        me_limited_store(y, first + at, to.y_wide, number, to.low, to.high);
    }
}

void me_softmax_s16(const me_softmax_s16_params *op, const me_softmax_s16_tile *tile)
{
    const int32_t step = tile->inner, length = op->length, whole = tile->rows * length * step;
    const int32_t n = tile->repeats * tile->rows * step;
    for (int32_t number = ME_FIRST(n); number < ME_LAST(n); number++) {
        const int32_t outer = step == 1 ? number : number / step;
        const int32_t first = outer * length * step + number - outer * step;
        const int8_t *x = (const int8_t *)tile->x + (op->x_wide ? 2 * first : first);
        me_wide_row row = { x, 0, op->x_wide, length, step, 0 };
        if (tile->mask) {
            row.mask = tile->mask + first % whole;
            see_blind(&row, op->flat);
            softmax_row(op, row, tile->y, first, 1);
        } else {
            softmax_row(op, row, tile->y, first, 0);
        }
    }
}
