/* SPDX-License-Identifier: Apache-2.0
 * Sums of squares over an axis of numbers of 8 or 16 bits, operands in L1.
 */
#ifndef ME_VARIANCE_S16_H
#define ME_VARIANCE_S16_H

#include "me_scale.h"

/* As me_variance_s8_params has it; x_wide, y_wide: whether x and y are int16 */
typedef struct {
    int32_t x_wide, y_wide, reduced, centred, root, x_zero, up, down, mult, offset, shift;
    me_scale scale;
} me_variance_s16_params;

/* x  [outer][reduced][inner]      y  [outer][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_variance_s16_tile;

void me_variance_s16(const me_variance_s16_params *op, const me_variance_s16_tile *tile);

#endif
