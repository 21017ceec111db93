/* SPDX-License-Identifier: Apache-2.0 */
#include "me_norm.h"

#include "me_norm_rows.h"
#include "me_share.h"

static me_moments moments_b(const int8_t *x, int32_t length)
{
    me_moments of = { 0, 0 };
    if (length >= 4)
        me_moments_b(x, length / 4, &of);
    for (int32_t i = length & ~3; i < length; i++) {
        of.total += x[i];
        of.squares += (uint32_t)(x[i] * x[i]);
    }
    return of;
}

static me_line line_of(const me_norm_s8_params *op, me_moments of, int32_t halvings)
{
    const int32_t middle = op->centred ? of.total : op->length * op->x_zero;
    const int64_t spread = (int64_t)of.squares * op->length + (int64_t)middle * (middle - 2 * of.total);
    const uint64_t eps = ((uint64_t)(uint32_t)op->eps_high << 31 | (uint32_t)op->eps_low) >> (2 * halvings);
    const uint64_t whole = (uint64_t)spread + eps;
    return me_norm_line(whole ? whole : 1u, op->length, middle, op->bits);
}

static void row_b(const me_norm_s8_params *op, const int8_t *x, int8_t *y)
{
    const me_line line = line_of(op, moments_b(x, op->length), 0);
    me_norm_row_b(x, y, op->length, op->pairs, &line, op->shift);
}

static void row_h(const me_norm_s8_params *op, const int16_t *x, int8_t *y)
{
    const int32_t reach = me_reach_h(x, op->length);
    const int32_t halvings = reach < 2048 ? 0 : me_fl1((uint32_t)reach) - 10;
    me_moments of;
    me_moments_h(x, op->length, halvings, &of);
    const me_line line = line_of(op, of, halvings);
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
