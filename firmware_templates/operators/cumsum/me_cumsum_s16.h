/* SPDX-License-Identifier: Apache-2.0
 * Sums along an axis up to every element, of numbers of 8 or 16 bits, operands in L1.
 */
#ifndef ME_CUMSUM_S16_H
#define ME_CUMSUM_S16_H

#include "me_scale.h"

/* As me_cumsum_s8_params has it; x_wide, y_wide: whether x and y are int16
 * drop   bits that sums have beyond 32, which are rounded away */
typedef struct {
    int32_t x_wide, y_wide, drop, n, x_zero, mult, offset, shift;
    me_scale scale;
} me_cumsum_s16_params;

/* x, y  [outer][n][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_cumsum_s16_tile;

void me_cumsum_s16(const me_cumsum_s16_params *op, const me_cumsum_s16_tile *tile);

#endif
