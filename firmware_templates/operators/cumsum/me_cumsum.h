/* SPDX-License-Identifier: Apache-2.0
 * Sums along an axis up to every element, operands in L1.
 */
#ifndef ME_CUMSUM_H
#define ME_CUMSUM_H

#include "me_scale.h"

/* y = clip(requant(sum of x - x_zero up to here)), then the table */
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

void me_cumsum_s8(const me_cumsum_s8_params *op, const me_cumsum_s8_tile *tile);

#endif
