/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_add.h"

#include "me_add_row.h"
#include "me_broadcast.h"
#include "me_elementwise_rows.h"

static void add_row(const me_add_s16_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t n)
{
    if (op->b_wide || op->y_wide) {
        me_add_s16_row(op, a, b, y, n);
        return;
    }
    const me_add_s8_params bytes = {
        op->a_mult,
        op->b_mult,
        op->offset,
        op->shift,
        { .low = op->low, .high = op->high },
        me_sum_bits(op->a_mult, op->b_mult, op->offset),
    };
    me_add_row(&bytes, a, b, y, n, 1, 1);
}

void me_ne16_add(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range)
{
    const me_add_s16_params *add = &op->add;
    if (tile->ninth || op->conv.scale.table) {
        me_ne16_finish_bytes(op, tile, range);
        ME_SYNC();
    }
    const me_part part = me_part_of((range[1].first - range->first) * tile->unit_bytes);
    const int32_t i = range->first * tile->unit_bytes + part.first;
    if (part.last > part.first)
        add_row(add, tile->conv.y + i, tile->b + (i << add->b_wide), tile->y + (i << add->y_wide),
                part.last - part.first);
}
