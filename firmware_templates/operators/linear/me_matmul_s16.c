/* SPDX-License-Identifier: Apache-2.0 */
#include "me_matmul_s16.h"

#include "me_dots_s16.h"
#include "me_math.h"
#include "me_share.h"
#include "me_wide.h"

/* Copies c values, `step` apart, minus their zero point; appends a 0 if c is odd. */
static void copy_minus_zero_point(const void *from, int32_t at, int32_t step, int32_t wide, int32_t zero,
                                  int32_t c, int16_t *to)
{
    const int16_t *halves = (const int16_t *)from + at;
    const int8_t *bytes = (const int8_t *)from + at;
    if (wide)
        for (int32_t i = 0; i < c; i++, halves += step)
            to[i] = (int16_t)(*halves - zero);
    else
        for (int32_t i = 0; i < c; i++, bytes += step)
            to[i] = (int16_t)(*bytes - zero);
    if (c & 1)
        to[c] = 0;
}

/* The dot product of a row and a column, shifted right by `drop`. */
static int32_t sum_of(const int16_t *row, const int16_t *column, int32_t words, int32_t drop)
{
    me_wide_sum sum;
    me_dots_h(row, column, words, &sum);
    return (int32_t)(((int64_t)sum.high * 65536 + sum.low + words) >> drop);
}

/* -> row `number` of a: in place, or a copy in `own` */
static const int16_t *row_of(const me_matmul_s16_params *op, const me_matmul_s16_tile *tile, int32_t number,
                             int16_t *own)
{
    const int32_t at = number * tile->a_stride;
    if (op->a_wide && op->a_zero == 0 && op->c % 2 == 0 && tile->a_stride % 2 == 0)
        return (const int16_t *)tile->a + at;
    copy_minus_zero_point(tile->a, at, 1, op->a_wide, op->a_zero, op->c, own);
    return own;
}

/* Computes results [first, last), row by row. */
static void multiply(const me_matmul_s16_params *op, const me_matmul_s16_tile *tile, int32_t first,
                     int32_t last, int16_t *own)
{
    const int32_t words = (op->c + 1) / 2, n = tile->n;
    const int16_t *row = 0;
    for (int32_t unit = first; unit < last; unit++) {
        const int32_t number = unit / n, column = unit - number * n;
        if (unit == first || column == 0)
            row = row_of(op, tile, number, own);
        const int32_t acc = sum_of(row, tile->scratch + column * 2 * words, words, op->drop);
        const int32_t q = me_requant(acc, op->scale.pre, op->mult, op->offset, op->shift);
        me_store_result(tile->y, number * tile->y_stride + column, op->y_wide, &op->scale, q);
    }
}

void me_matmul_s16(const me_matmul_s16_params *op, const me_matmul_s16_tile *tile)
{
    const int32_t size = (op->c + 1) & ~1, n = tile->n, units = tile->m * n;
    const int32_t along = op->b_transposed ? 1 : tile->b_stride,
                  across = op->b_transposed ? tile->b_stride : 1;
    for (int32_t k = ME_FIRST(n); k < ME_LAST(n); k++)
        copy_minus_zero_point(tile->b, k * across, along, op->b_wide, op->b_zero, op->c,
                              tile->scratch + k * size);
    ME_SYNC();
    multiply(op, tile, ME_FIRST(units), ME_LAST(units), tile->scratch + (n + ME_CORE()) * size);
}
