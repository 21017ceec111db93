/* SPDX-License-Identifier: Apache-2.0
 * Sums of squares over an axis, operands in L1: variances, and roots of them.
 */
#ifndef ME_VARIANCE_H
#define ME_VARIANCE_H

#include "me_scale.h"

/* spread   centred: reduced * (sum of x^2) - (sum of x)^2; else the sum of (x - x_zero)^2
 * acc      root: the root of spread << 2 up, of its highest bits; else spread >> down
 * y        clip(requant(acc)), then the table */
typedef struct {
    int32_t reduced, centred, root, x_zero, up, down, mult, offset, shift;
    me_scale scale;
} me_variance_s8_params;

/* x  int8 [outer][reduced][inner]      y  int8 [outer][inner] */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t outer, inner;
} me_variance_s8_tile;

void me_variance_s8(const me_variance_s8_params *op, const me_variance_s8_tile *tile);

#endif
