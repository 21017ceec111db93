/* SPDX-License-Identifier: Apache-2.0
 * Sums of squares over an axis, operands in L1: variances, and roots of them. Cores 0 .. 7 call a kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_VARIANCE_H
#define ME_VARIANCE_H

#include "me_scale.h"

/* x_wide, y_wide   of me_variance_s16: whether x and y are int16; a table is for results of int8 only */
typedef struct {
    int32_t x_wide, y_wide, reduced, centred, root, x_zero, up, down, mult, offset, shift;
    me_scale scale;
} me_variance_params;

/* x  [outer][reduced][inner]      y  [outer][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_variance_tile;

typedef me_variance_params me_variance_s8_params, me_variance_s16_params;
typedef me_variance_tile me_variance_s8_tile, me_variance_s16_tile;

/* Of int8: spread = reduced * (sum of x^2) - (sum of x)^2 if centred, otherwise the sum of (x - x_zero)^2, in 64 bits;
 * acc = the root of spread << 2 up by its highest 31 or 32 bits, rounded down, if root, otherwise spread >> down;
 * int8 y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * reduced 1 to 65,536; up 0 to 22; down 0 to 33; acc inside int32; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_variance_s8(const me_variance_s8_params *op, const me_variance_s8_tile *tile);

/* The same of int8 or int16 to int8 or int16, as x_wide and y_wide say, with the same ranges. */
void me_variance_s16(const me_variance_s16_params *op, const me_variance_s16_tile *tile);

#endif
