/* SPDX-License-Identifier: Apache-2.0 */
#include "me_broadcast.h"

#include "me_table.h"

/* The row that comes after: every loop but the innermost counts up as far as it must. */
static void next_row(const me_binary_s8_tile *tile, int32_t *index, const int8_t **a, const int8_t **b)
{
    for (int32_t d = tile->loops - 2; d >= 0; d--) {
        *a += tile->a_step[d];
        *b += tile->b_step[d];
        if (++index[d] < tile->extent[d])
            return;
        *a -= tile->a_step[d] * index[d];
        *b -= tile->b_step[d] * index[d];
        index[d] = 0;
    }
}

static int32_t elements(const me_binary_s8_tile *tile)
{
    int32_t n = 1;
    for (int32_t d = 0; d < tile->loops; d++)
        n *= tile->extent[d];
    return n;
}

void me_each_row(const me_binary_s8_tile *tile, me_row_kernel *row, const void *op, const int8_t *table)
{
    const me_part part = me_part_of(elements(tile));
    const int32_t inner = tile->loops - 1, width = tile->extent[inner];
    const int32_t a_step = tile->a_step[inner], b_step = tile->b_step[inner];
    const int8_t *a = tile->a, *b = tile->b;
    int32_t index[ME_LOOPS];
    int32_t left = part.last - part.first, row_number = part.first / width;
    int32_t column = part.first - row_number * width;
    if (left <= 0)
        return;
    for (int32_t d = inner - 1; d >= 0; d--) {
        index[d] = row_number % tile->extent[d];
        row_number /= tile->extent[d];
        a += index[d] * tile->a_step[d];
        b += index[d] * tile->b_step[d];
    }
    for (int8_t *y = tile->y + part.first; left > 0; column = 0) {
        const int32_t n = width - column < left ? width - column : left;
        row(op, a + column * a_step, b + column * b_step, y, n, a_step, b_step);
        y += n;
        left -= n;
        next_row(tile, index, &a, &b);
    }
    if (table)
        me_table_row(table, tile->y + part.first, tile->y + part.first, part.last - part.first);
}
