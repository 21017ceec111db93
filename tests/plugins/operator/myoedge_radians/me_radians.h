/* SPDX-License-Identifier: Apache-2.0
 * A tensor times a number, operands in L1. The cores call it together; each computes its share.
 */
#ifndef ME_RADIANS_H
#define ME_RADIANS_H

#include "me_scale.h"

/* y = clip(requant(x - x_zero)), then the table */
typedef struct {
    int32_t x_zero, mult, offset, shift;
    me_scale scale;
} me_radians_s8_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t n;
} me_radians_s8_tile;

void me_radians_s8(const me_radians_s8_params *params, const me_radians_s8_tile *tile);

#endif
