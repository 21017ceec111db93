/* SPDX-License-Identifier: Apache-2.0 */
#include "me_broadcast.h"

#include "me_intrinsics.h"
#include "me_table.h"

#define SHORT_ROW 8   /* elements: such rows are computed together */
#define AT_A_TIME 128 /* elements of them, as operands of equal shapes */
#define MANY_ROWS 32  /* which may be shared row by row */

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

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* n rows of `width` elements, row_step apart, as they repeat: x, or a copy of them in `dense`. */
static const int8_t *as_dense(const int8_t *x, int32_t row_step, int32_t step, int32_t width, int32_t n, int8_t *dense)
{
    if (step == 1 && row_step == width)
        return x;
    int8_t *to = dense;
    if (step == 0)
        for (int8_t *end = to + width; n > 0; n--, x += row_step, end += width) {
            const uint32_t word = (uint8_t)*x * 0x01010101u;
            do
                me_put_w(&to, word);
            while (to < end);
            to = end;
        }
    else
        for (; n > 0; n--, x += row_step)
            for (int32_t i = 0; i < width; i++)
                *to++ = x[i];
    return dense;
}

/* Rows that are shared and computed several at a time. */
static void each_short_row(const me_binary_s8_tile *tile, me_row_kernel *row, const void *op, int32_t rows)
{
    const int32_t inner = tile->loops - 1, middle = inner - 1, width = tile->extent[inner];
    const int32_t first = ME_FIRST(rows), most = AT_A_TIME / width;
    const int8_t *a = tile->a, *b = tile->b;
    int8_t *y = tile->y + first * width;
    int32_t index[ME_LOOPS], number = first;
    _Alignas(4) int8_t dense_a[AT_A_TIME + 4], dense_b[AT_A_TIME + 4];
    for (int32_t d = middle; d >= 0; d--) {
        index[d] = number % tile->extent[d];
        number /= tile->extent[d];
        a += index[d] * tile->a_step[d];
        b += index[d] * tile->b_step[d];
    }
    for (int32_t left = ME_LAST(rows) - first; left > 0;) {
        const int32_t n = least(least(most, left), tile->extent[middle] - index[middle]);
        row(op, as_dense(a, tile->a_step[middle], tile->a_step[inner], width, n, dense_a),
            as_dense(b, tile->b_step[middle], tile->b_step[inner], width, n, dense_b), y, n * width, 1, 1);
        y += n * width;
        left -= n;
        index[middle] += n - 1;
        a += tile->a_step[middle] * (n - 1);
        b += tile->b_step[middle] * (n - 1);
        next_row(tile, index, &a, &b);
    }
}

void me_each_row(const me_binary_s8_tile *tile, me_row_kernel *row, const void *op, const int8_t *table)
{
    const int32_t all = elements(tile), rows = all / tile->extent[tile->loops - 1];
    if (tile->extent[tile->loops - 1] <= SHORT_ROW && rows >= MANY_ROWS) {
        each_short_row(tile, row, op, rows);
        const int32_t first = ME_FIRST(rows) * (all / rows), n = ME_LAST(rows) * (all / rows) - first;
        if (table && n > 0)
            me_table_row(table, tile->y + first, tile->y + first, n);
        return;
    }
    const me_part part = me_part_of(all);
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
