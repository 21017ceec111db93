/* SPDX-License-Identifier: Apache-2.0
 * The angle of points whose coordinates are two operands in L1. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_ATAN2_H
#define ME_ATAN2_H

#include "me_elementwise.h"

/* angles   int16 [257]: of the quotients 0 .. 256 of 256 of the smaller and the larger coordinate */
typedef struct {
    int32_t a_zero, b_zero, a_mult, b_mult, mult, offset, shift;
    const int16_t *angles;
    me_scale scale;
} me_atan2_s8_params;

typedef me_binary_s8_tile me_atan2_s8_tile;

/* Angle of points, int8 and broadcast: ordinate (a - a_zero) * a_mult, abscissa (b - b_zero) * b_mult, both below
 * 2^23 in magnitude. acc is the angle in steps of pi / 2^15, of the origin 0; int8
 * y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * a_mult, b_mult 1 to 32,768; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_atan2_s8(const me_atan2_s8_params *op, const me_atan2_s8_tile *tile);

#endif
