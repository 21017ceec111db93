/* SPDX-License-Identifier: Apache-2.0
 * The angle of points whose coordinates are two operands of 8 or 16 bits in L1. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_ATAN2_S16_H
#define ME_ATAN2_S16_H

#include "me_mul_s16.h"

/* *_wide, *_once as in me_mul_s16_params
 * angles   int16 [258]: of the quotients 0 .. 256 of 256, the last one twice */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_zero, b_zero, a_mult, b_mult, mult, offset, shift, a_once, b_once;
    const int16_t *angles;
    me_scale scale;
} me_atan2_s16_params;

typedef me_mul_s16_tile me_atan2_s16_tile;

/* The angle of points of int8 or int16, as a_wide, b_wide and y_wide say: the ordinate is
 * ((a - a_zero) * a_mult + 2^13) >> 14, the abscissa the same of b, both within 2^15. acc is their angle in steps
 * of pi / 2^16 with the signs of a - a_zero and b - b_zero, requantised as in me_atan2_s8.
 * a_mult, b_mult: products stay within 2^29; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_atan2_s16(const me_atan2_s16_params *op, const me_atan2_s16_tile *tile);

#endif
