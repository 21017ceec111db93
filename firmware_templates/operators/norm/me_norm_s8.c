/* SPDX-License-Identifier: Apache-2.0 */
#include "me_norm.h"

#include "me_norm_lines.h"
#include "me_share.h"

static void row_b(const me_norm_s8_params *op, const int8_t *x, int8_t *y)
{
    const me_line line = me_line_of_bytes(op, x);
    me_norm_row_b(x, y, op->length, op->pairs, &line, op->shift);
}

static void row_h(const me_norm_s8_params *op, const int16_t *x, int8_t *y)
{
    int32_t halvings;
    const me_line line = me_line_of_halves(op, x, &halvings);
    me_norm_row_h(x, y, op->length, op->pairs, &line, op->shift, halvings);
}

void me_norm_s8(const me_norm_s8_params *op, const me_norm_s8_tile *tile)
{
    const int32_t cores = ME_KERNEL_CORES(op->nine_cores), last = ME_LAST_OF(cores, tile->rows);
    for (int32_t row = ME_FIRST_OF(cores, tile->rows); row < last; row++) {
        const int32_t at = row * op->length;
        if (op->wide)
            row_h(op, (const int16_t *)tile->x + at, tile->y + at);
        else
            row_b(op, (const int8_t *)tile->x + at, tile->y + at);
    }
}
