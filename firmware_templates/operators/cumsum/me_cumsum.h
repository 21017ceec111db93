/* SPDX-License-Identifier: Apache-2.0
 * Sums along an axis up to every element, operands in L1. Cores 0 .. 7 call a kernel together; each computes its share,
 * and no barrier is inside.
 */
#ifndef ME_CUMSUM_H
#define ME_CUMSUM_H

#include "me_scale.h"

/* x_wide, y_wide, drop   of me_cumsum_s16: whether x and y are int16; a table is for results of int8 only */
typedef struct {
    int32_t x_wide, y_wide, drop, n, x_zero, mult, offset, shift;
    me_scale scale;
} me_cumsum_params;

/* x, y  [outer][n][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_cumsum_tile;

typedef me_cumsum_params me_cumsum_s8_params, me_cumsum_s16_params;
typedef me_cumsum_tile me_cumsum_s8_tile, me_cumsum_s16_tile;

/* acc[t] = sum of x[i] - x_zero for i <= t, x int8, int8 y = clip((((acc >> pre) * mult) + offset) >> shift), then the
 * table; inside int32. n >= 0, x_zero -128 to 127; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_cumsum_s8(const me_cumsum_s8_params *op, const me_cumsum_s8_tile *tile);

/* The same of int8 or int16 to int8 or int16, as x_wide and y_wide say: acc is the sum, or, if drop > 0,
 * (the sum in 64 bits + half) >> drop, half = 1 << drop >> 1; it stays inside int32. x_zero of int16 -32,768 to
 * 32,767. */
void me_cumsum_s16(const me_cumsum_s16_params *op, const me_cumsum_s16_tile *tile);

#endif
