/* SPDX-License-Identifier: Apache-2.0
 * Layer norm and RMS norm of rows: the body of me_norm_instances.def's kernels.
 */
#ifndef ME_NORM_LINES_H
#define ME_NORM_LINES_H

#include "me_norm_rows.h"
#include "me_share.h"

static inline me_moments me_moments_of_bytes(const int8_t *x, int32_t length)
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

/* less   bits that squares have less than eps */
static inline me_line me_line_of_moments(const me_norm_params *op, me_moments of, int32_t less)
{
    const int32_t middle = op->centred ? of.total : op->length * op->x_zero;
    const int64_t spread = (int64_t)of.squares * op->length + (int64_t)middle * (middle - 2 * of.total);
    const uint64_t eps = ((uint64_t)(uint32_t)op->eps_high << 31 | (uint32_t)op->eps_low) >> less;
    const uint64_t whole = (uint64_t)spread + eps;
    return me_norm_line(whole ? whole : 1u, op->length, middle, op->bits);
}

/* The line of a row of int8. */
static inline me_line me_line_of_bytes(const me_norm_params *op, const int8_t *x)
{
    return me_line_of_moments(op, me_moments_of_bytes(x, op->length), 0);
}

/* The line of a row of int16, whose numbers are shifted right by `halvings` before they are on it. */
static inline me_line me_line_of_halves(const me_norm_params *op, const int16_t *x, int32_t *halvings)
{
    const int32_t reach = me_reach_h(x, op->length);
    me_moments of;
    *halvings = me_max(reach < 2048 ? 0 : me_fl1((uint32_t)reach) - 10, op->down);
    me_moments_h(x, op->length, *halvings, &of);
    return me_line_of_moments(op, of, 2 * (*halvings - op->down));
}

static inline void me_norm_row_of_bytes(const me_norm_params *op, const int8_t *x, void *y, int32_t y_bytes)
{
    const me_line line = me_line_of_bytes(op, x);
    if (y_bytes == 1)
        me_norm_row_b(x, y, op->length, op->pairs, &line, op->shift);
    else
        me_norm_row_b_s16(x, y, op->length, op->pairs, &line, op->shift);
}

static inline void me_norm_row_of_halves(const me_norm_params *op, const int16_t *x, void *y, int32_t y_bytes)
{
    int32_t halvings;
    const me_line line = me_line_of_halves(op, x, &halvings);
    if (y_bytes == 1)
        me_norm_row_h(x, y, op->length, op->pairs, &line, op->shift, halvings);
    else
        me_norm_row_h_s16(x, y, op->length, op->pairs, &line, op->shift, halvings);
}

/* y_bytes: of a number of y, a constant of the kernel */
static inline void me_norm(const me_norm_params *op, const me_norm_tile *tile, int32_t y_bytes)
{
    const int32_t cores = ME_KERNEL_CORES(op->nine_cores), last = ME_LAST_OF(cores, tile->rows);
    for (int32_t row = ME_FIRST_OF(cores, tile->rows); row < last; row++) {
        const int32_t at = row * op->length;
        int8_t *y = (int8_t *)tile->y + y_bytes * at;
        if (op->x_wide)
            me_norm_row_of_halves(op, (const int16_t *)tile->x + at, y, y_bytes);
        else
            me_norm_row_of_bytes(op, (const int8_t *)tile->x + at, y, y_bytes);
    }
}

#endif
