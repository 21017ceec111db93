/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool_s16.h"

#include "me_math.h"
#include "me_share.h"
#include "me_wide.h"

/* Channels first .. last - 1 of a window. */
static void average(const me_avg_pool_s16_params *op, const me_avg_pool_s16_tile *tile, int32_t pixel,
                    int32_t first, int32_t last)
{
    const me_window *row = tile->rows + pixel / tile->ow, *column = tile->columns + pixel % tile->ow;
    const int32_t c = tile->c, rows = row->last - row->first, columns = column->last - column->first;
    const me_channel *to = op->each + row->kind * op->kinds + column->kind;
    for (int32_t k = first; k < last; k++) {
        int32_t at = row->first * tile->row_stride + column->first * c + k,
                sum = -op->x_zero * rows * columns;
        for (int32_t i = 0; i < rows; i++, at += tile->row_stride)
            sum += me_sum_of_wide(tile->x, at, columns, c, op->x_wide);
        const int32_t q = me_requant(sum, op->scale.pre, to->mult, to->offset, to->shift);
        me_wide_store(tile->y, pixel * tile->y_stride + k, op->y_wide, &op->scale, q);
    }
}

void me_avg_pool_s16(const me_avg_pool_s16_params *op, const me_avg_pool_s16_tile *tile)
{
    const int32_t c = tile->c, results = tile->oh * tile->ow * c;
    for (int32_t at = ME_FIRST(results); at < ME_LAST(results);) {
        const int32_t pixel = at / c, first = at - pixel * c, last = me_min(c, first + ME_LAST(results) - at);
        average(op, tile, pixel, first, last);
        at += last - first;
    }
}
