/* SPDX-License-Identifier: Apache-2.0 */
#include "me_resize.h"

#include "me_math.h"
#include "me_share.h"

/* A line of `count` results of the elements from `from` on, neighbours `count` apart. */
static inline void line_of(const me_resize_s16_params *op, const int32_t *row, const void *x, void *y,
                           int32_t count, int32_t x_wide, int32_t y_wide)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t sum = row[1];
        for (int32_t tap = 0, at = i; tap < op->taps; tap++, at += count)
            sum = me_mac(sum, x_wide ? ((const int16_t *)x)[at] : ((const int8_t *)x)[at], row[2 + tap]);
        const int32_t result = me_min(me_max(sum >> op->shift, op->low), op->high);
        if (y_wide)
            ((int16_t *)y)[i] = (int16_t)result;
        else
            ((int8_t *)y)[i] = (int8_t)result;
    }
}

void me_resize_s16(const me_resize_s16_params *params, const me_resize_s16_tile *tile)
{
    const me_resize_s16_params op = *params;
    const int32_t results = tile->results, inner = tile->inner, total = tile->outer * results;
    int32_t image = ME_FIRST(total) / results, result = ME_FIRST(total) % results;
    for (int32_t at = ME_FIRST(total); at < ME_LAST(total); at++) {
        const int32_t *row = tile->rows + result * (2 + op.taps);
        const int32_t from = (image * tile->n + row[0] - tile->first) * inner;
        const int8_t *x = (const int8_t *)tile->x + (from << op.x_wide);
        int8_t *y = (int8_t *)tile->y + (at * inner << op.y_wide);
        if (op.x_wide && op.y_wide)
            line_of(&op, row, x, y, inner, 1, 1);
        else if (op.x_wide)
            line_of(&op, row, x, y, inner, 1, 0);
        else
            line_of(&op, row, x, y, inner, 0, 1);
        if (++result == results) {
            result = 0;
            image++;
        }
    }
}
