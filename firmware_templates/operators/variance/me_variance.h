/* SPDX-License-Identifier: Apache-2.0
 * Sums of squares over an axis, operands in L1: variances, and roots of them. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_VARIANCE_H
#define ME_VARIANCE_H

#include "me_scale.h"

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

/* spread = reduced * (sum of x^2) - (sum of x)^2 if centred, else the sum of (x - x_zero)^2, in 64 bits;
 * acc = the root of spread << 2 up by its highest 31 or 32 bits, rounded down, if root, else spread >> down;
 * int8 y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * reduced 1 to 65,536; up 0 to 22; down 0 to 33; acc inside int32; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_variance_s8(const me_variance_s8_params *op, const me_variance_s8_tile *tile);

#endif
