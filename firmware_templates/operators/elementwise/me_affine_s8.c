/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include <stdbool.h>

#include "me_add_row.h"
#include "me_broadcast.h"
#include "me_elementwise_rows.h"
#include "me_math.h"
#include "me_table.h"

/* The channel of all numbers that are not below x_zero is read once: constants may be in L2. */
static void prelu_row(const me_affine_s8_params *op, const me_channel *above, const me_channel *below,
                      const int8_t *x, int8_t *y, int32_t n, int32_t step)
{
    for (int32_t i = 0; i < n; i++, below += step) {
        const int32_t value = x[i];
        const me_channel *c = value < op->x_zero ? below : above;
        y[i] = me_clip(me_mac(c->offset, value, c->mult) >> c->shift, op->scale.low, op->scale.high);
    }
}

/* n elements of one channel. */
static void one_channel(const me_affine_s8_params *op, const me_channel *c, const int8_t *x, int8_t *y,
                        int32_t n)
{
    const int32_t bits = me_sum_bits(c->mult, 0, c->offset);
    const me_add_s8_params alone = { c->mult, 0, c->offset, c->shift, op->scale, bits };
    me_add_row_inline(&alone, x, x, y, n, 1, 1);
}

void me_affine_s8(const me_affine_s8_params *op, const me_affine_s8_tile *tile)
{
    const int32_t width = tile->inner == 1 ? op->channels : tile->inner;
    const me_part part = me_part_of(tile->outer * op->channels * tile->inner);
    const bool prelu = op->x_zero < 128;
    const me_channel above = prelu ? op->each[op->channels] : (me_channel){ 0 };
    const int8_t *x = tile->x;
    int8_t *y = tile->y;
    int32_t column = part.first % width;
    int32_t c = part.first / width % op->channels;
    for (int32_t at = part.first; at < part.last; column = 0) {
        const int32_t left = part.last - at;
        const int32_t n = width - column < left ? width - column : left;
        const me_channel *own = op->each + (tile->inner == 1 ? column : c);
        if (prelu)
            prelu_row(op, &above, own, x + at, y + at, n, tile->inner == 1);
        else if (tile->inner == 1)
            me_affine_row(own, &op->scale, x + at, y + at, n);
        else
            one_channel(op, own, x + at, y + at, n);
        at += n;
        c = c + 1 < op->channels ? c + 1 : 0;
    }
    if (op->scale.table && part.last > part.first)
        me_table_row(op->scale.table, y + part.first, y + part.first, part.last - part.first);
}
