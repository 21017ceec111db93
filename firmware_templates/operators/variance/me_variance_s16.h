/* SPDX-License-Identifier: Apache-2.0
 * Sums of squares over an axis of numbers of 8 or 16 bits, operands in L1. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
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

/* me_variance_s8 of int8 or int16 to int8 or int16, as x_wide and y_wide say, with the same ranges; a table is for
 * results of int8 alone. */
void me_variance_s16(const me_variance_s16_params *op, const me_variance_s16_tile *tile);

#endif
