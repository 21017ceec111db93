/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include "me_elementwise_rows.h"
#include "me_share.h"

/* Element n of x, of 2 bytes each where they are int16. */
static const int8_t *element(const void *x, int32_t n, int32_t wide)
{
    return (const int8_t *)x + (wide ? 2 * n : n);
}

void me_add_s16(const me_add_s16_params *op, const me_add_s16_tile *tile)
{
    const int32_t width = tile->n, all = tile->rows * width, cores = ME_KERNEL_CORES(op->nine_cores);
    const int32_t last = ME_LAST_OF(cores, all);
    for (int32_t at = ME_FIRST_OF(cores, all), n; at < last; at += n) {
        const int32_t row = at / width, column = at - row * width;
        n = width - column < last - at ? width - column : last - at;
        me_add_s16_row(op, element(tile->a, row * tile->a_row + column, op->a_wide),
                    element(tile->b, row * tile->b_row + column, op->b_wide),
                    (int8_t *)tile->y + (op->y_wide ? 2 * at : at), n);
    }
}
