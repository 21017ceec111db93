/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_share.h"
#include "me_wide_rows.h"

static void log_softmax_row(const me_log_softmax_s16_params *op, me_wide_row row, void *y, int32_t first)
{
    const int32_t most = me_wide_row_max(row, 0);
    const uint32_t sum = me_wide_row_sum(row, op->exp, most, 0);
    const int32_t halvings = me_fl1(sum) - 15;
    const int32_t log_sum = op->log[(sum >> halvings >> 7) - 256u] + halvings * op->ln2;
    const int32_t below = log_sum * op->log_mult + op->offset;
    const int32_t end = row.n * row.step, step = row.step, mult = op->mult, shift = op->shift;
    const int32_t y_wide = op->y_wide, low = op->low, high = op->high;
    for (int32_t at = 0; at < end; at += step) {
        const int32_t distance = most - me_number_at(row, at, 0);
        me_limited_store(y, first + at, y_wide, me_mac(below, distance, mult) >> shift, low, high);
    }
}

void me_log_softmax_s16(const me_log_softmax_s16_params *op, const me_log_softmax_s16_tile *tile)
{
    const int32_t step = tile->inner, length = op->length, n = tile->outer * step;
    for (int32_t number = ME_FIRST(n); number < ME_LAST(n); number++) {
        const int32_t outer = step == 1 ? number : number / step;
        const int32_t first = outer * length * step + number - outer * step;
        const int8_t *x = (const int8_t *)tile->x + (op->x_wide ? 2 * first : first);
        const me_wide_row row = { x, 0, op->x_wide, length, step, 0 };
        log_softmax_row(op, row, tile->y, first);
    }
}
