/* SPDX-License-Identifier: Apache-2.0
 * Sums along an axis up to every element, operands in L1. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_CUMSUM_H
#define ME_CUMSUM_H

#include "me_scale.h"

typedef struct {
    int32_t n, x_zero, mult, offset, shift;
    me_scale scale;
} me_cumsum_s8_params;

/* x, y  int8 [outer][n][inner] */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t outer, inner;
} me_cumsum_s8_tile;

/* acc[t] = sum of x[i] - x_zero for i <= t, int8 y = clip((((acc >> pre) * mult) + offset) >> shift), then the
 * table; inside int32. n >= 0, x_zero -128 to 127; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_cumsum_s8(const me_cumsum_s8_params *op, const me_cumsum_s8_tile *tile);

#endif
