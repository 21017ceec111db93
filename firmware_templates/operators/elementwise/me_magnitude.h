/* SPDX-License-Identifier: Apache-2.0
 * sqrt(a^2 + b^2), operands in L1. Cores 0 .. 7 call together, each takes its share of the numbers,
 * and no barrier is inside.
 */
#ifndef ME_MAGNITUDE_H
#define ME_MAGNITUDE_H

#include <stdint.h>

#include "me_scale.h"

/* y_wide           y is int16, otherwise int8; a table is for int8 only
 * a_wide, b_wide   of me_magnitude_s16, of which at least one operand is int16 */
typedef struct {
    int32_t a_zero, b_zero, a_mult, b_mult, a_wide, b_wide, mult, offset, shift, y_wide;
    me_scale scale;
} me_magnitude_params;

typedef struct {
    const void *a, *b;
    void *y;
    int32_t n;
} me_magnitude_tile;

typedef me_magnitude_params me_magnitude_s8_params, me_magnitude_s16_params;
typedef me_magnitude_tile me_magnitude_s8_tile, me_magnitude_s16_tile;

/* Magnitude of n >= 0 pairs of int8, y int8 or int16 by y_wide: acc is the root of
 * (a - a_zero)^2 * a_mult + (b - b_zero)^2 * b_mult, rounded down, and
 * y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * The sum of squares is below 2^32; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_magnitude_s8(const me_magnitude_s8_params *op, const me_magnitude_s8_tile *tile);

/* The same of int8 or int16, as a_wide, b_wide and y_wide say. x' = ((x - x_zero) * x_mult + 2^13) >> 14 of a and
 * of b have one step and are at most 2^15; acc is the root of a'^2 + b'^2 in quarters of it, rounded down.
 * pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_magnitude_s16(const me_magnitude_s16_params *op, const me_magnitude_s16_tile *tile);

#endif
