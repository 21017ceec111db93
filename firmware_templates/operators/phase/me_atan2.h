/* SPDX-License-Identifier: Apache-2.0
 * The angle of points whose coordinates are two operands in L1.
 */
#ifndef ME_ATAN2_H
#define ME_ATAN2_H

#include "me_elementwise.h"

/* The ordinate is (a - a_zero) * a_mult, the abscissa (b - b_zero) * b_mult, both below 2^23; their angle
 * in steps of pi / 2^15 is requantised, then the table.
 * angles   int16 [257]: of the quotients 0 .. 256 of 256 of the smaller and the larger coordinate */
typedef struct {
    int32_t a_zero, b_zero, a_mult, b_mult, mult, offset, shift;
    const int16_t *angles;
    me_scale scale;
} me_atan2_s8_params;

typedef me_binary_s8_tile me_atan2_s8_tile;

/* Angle of points, broadcast: ordinates a, abscissas b. */
void me_atan2_s8(const me_atan2_s8_params *op, const me_atan2_s8_tile *tile);

#endif
