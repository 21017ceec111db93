/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include "me_elementwise_rows.h"
#include "me_share.h"

/* -> the address of element n of x, int16 if wide, otherwise int8 */
static const int8_t *element(const void *x, int32_t n, int32_t wide)
{
    return (const int8_t *)x + (wide ? 2 * n : n);
}

/* Computes a row in which the other operand is a single element, which becomes part of the offset. */
static void add_one(const me_add_s16_params *op, const void *a, const void *b, void *y, int32_t n)
{
    me_add_s16_params own = *op;
    const int32_t wide = op->a_once ? op->a_wide : op->b_wide;
    const void *one = op->a_once ? a : b, *row = op->a_once ? b : a;
    const int32_t x = wide ? *(const int16_t *)one : *(const int8_t *)one;
    own.offset += x * (op->a_once ? op->a_mult : op->b_mult);
    own.a_wide = own.b_wide = op->a_once ? op->b_wide : op->a_wide;
    own.a_mult = op->a_once ? op->b_mult : op->a_mult;
    own.b_mult = 0;
    me_add_s16_row(&own, row, row, y, n);
}

void me_add_s16(const me_add_s16_params *op, const me_add_s16_tile *tile)
{
    const int32_t width = tile->n, all = tile->rows * width, cores = ME_KERNEL_CORES(op->nine_cores);
    const int32_t last = ME_LAST_OF(cores, all);
    for (int32_t at = ME_FIRST_OF(cores, all), n; at < last; at += n) {
        const int32_t row = at / width, column = at - row * width;
        n = width - column < last - at ? width - column : last - at;
        const int8_t *a = element(tile->a, row * tile->a_row + (op->a_once ? 0 : column), op->a_wide);
        const int8_t *b = element(tile->b, row * tile->b_row + (op->b_once ? 0 : column), op->b_wide);
        int8_t *y = (int8_t *)tile->y + (op->y_wide ? 2 * at : at);
        (op->a_once || op->b_once ? add_one : me_add_s16_row)(op, a, b, y, n);
    }
}
