/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool_s16.h"

#include "me_math.h"
#include "me_share.h"

enum { CORES = 8 }; /* fewer windows have their channels shared */

/* n words of two channels: y is the larger of y and x. */
static void larger_words(const int16_t *x, int16_t *y, int32_t n)
{
    const int8_t *from = (const int8_t *)x, *old = (const int8_t *)y;
    int8_t *to = (int8_t *)y;
    for (; n > 0; n--)
        me_put_w(&to, me_max_h(me_next_w(&from), me_next_w(&old)));
}

static void larger(const int16_t *x, int16_t *y, int32_t n)
{
    if (n % 2 == 0) {
        larger_words(x, y, n / 2);
        return;
    }
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] > y[i] ? x[i] : y[i];
}

/* n channels from those of x and y on */
static void most_of(const int16_t *x, const me_window *row, const me_window *column,
                    const me_max_pool_s16_tile *tile, int16_t *y, int32_t n)
{
    const int32_t c = tile->c;
    for (int32_t k = 0; k < n; k++)
        y[k] = x[row->first * tile->row_stride + column->first * c + k];
    for (int32_t i = row->first; i < row->last; i++)
        for (int32_t j = column->first; j < column->last; j++)
            larger(x + i * tile->row_stride + j * c, y, n);
}

void me_max_pool_s16(const me_max_pool_s16_params *op, const me_max_pool_s16_tile *tile)
{
    const int32_t pixels = tile->oh * tile->ow, pairs = tile->c / 2;
    const int32_t parts = pixels < CORES && tile->c % 2 == 0 ? CORES : 1, n = pixels * parts;
    (void)op;
    for (int32_t unit = ME_FIRST(n); unit < ME_LAST(n); unit++) {
        const int32_t pixel = unit / parts, part = unit - pixel * parts;
        const int32_t row = pixel / tile->ow, column = pixel - row * tile->ow;
        const int32_t first = 2 * me_share_of(parts, part, pairs);
        const int32_t last = parts == 1 ? tile->c : 2 * me_share_of(parts, part + 1, pairs);
        int16_t *y = (int16_t *)tile->y + pixel * tile->y_stride + first;
        if (last > first)
            most_of((const int16_t *)tile->x + first, tile->rows + row, tile->columns + column, tile, y,
                    last - first);
    }
}
