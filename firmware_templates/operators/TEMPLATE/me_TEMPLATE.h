/* SPDX-License-Identifier: Apache-2.0
 * A tensor times a number, operands in L1. Cores 0 .. 7 call it together; each computes its share, and no
 * barrier is inside.
 */
#ifndef ME_TEMPLATE_H
#define ME_TEMPLATE_H

#include "me_scale.h"

typedef struct {
    int32_t x_zero, mult, offset, shift;
    me_scale scale;
} me_TEMPLATE_s8_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t n;
} me_TEMPLATE_s8_tile;

/* Int8 y = clip(((((x - x_zero) >> pre) * mult) + offset) >> shift), then the table, of n >= 0 int8 numbers at any
 * address. x_zero -128 to 127; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_TEMPLATE_s8(const me_TEMPLATE_s8_params *params, const me_TEMPLATE_s8_tile *tile);

#endif
