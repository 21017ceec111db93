/* SPDX-License-Identifier: Apache-2.0
 * The angle of a point in the first quadrant; 0 for the origin.
 */
#ifndef ME_ANGLES_H
#define ME_ANGLES_H

#include "me_math.h"

/* Angle of (|x|, |y|) in steps of pi / 2^15; magnitudes below 2^23.
 * angles  [257] arctangents of i / 256, i = 0 .. 256, for the quotient of the smaller and the larger
 *         magnitude */
static inline int32_t me_angle(const int16_t *angles, int32_t y, int32_t x)
{
    const int32_t a = me_abs(y), b = me_abs(x), large = me_max(me_max(a, b), 1);
    const int32_t angle = angles[(me_min(a, b) * 256 + (large >> 1)) / large];
    return a > b ? (1 << 14) - angle : angle;
}

/* The same in steps of pi / 2^16, linearly interpolated between two entries; magnitudes up to 2^15.
 * angles  [258] as above, with the last entry repeated */
static inline int32_t me_fine_angle(const int16_t *angles, int32_t y, int32_t x)
{
    const uint32_t a = (uint32_t)me_abs(y), b = (uint32_t)me_abs(x);
    const uint32_t large = me_maxu(me_maxu(a, b), 1),
                   quotient = ((me_minu(a, b) << 16) + (large >> 1)) / large;
    const int16_t *at = angles + (quotient >> 8);
    const int32_t angle = at[0] + (((at[1] - at[0]) * (int32_t)(quotient & 255) + 128) >> 8);
    return a > b ? (1 << 15) - angle : angle;
}

#endif
