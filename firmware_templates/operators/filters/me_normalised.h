/* SPDX-License-Identifier: Apache-2.0
 * Samples divided by the square root of their signal's running power.
 */
#ifndef ME_NORMALISED_H
#define ME_NORMALISED_H

#include "me_math.h"

#define ME_POWER_BITS 16 /* fraction bits of a power (operators/filters) */
#define ME_NORMALISED_BITS 12
#define ME_LEAST_POWER (1 << (ME_POWER_BITS - 4)) /* minimum power in the divisor */
#define ME_MOST_NORMALISED (256 << ME_NORMALISED_BITS)          /* maximum magnitude of a result */

/* x divided by the square root of a power, power >= 0. */
static inline int32_t me_normalised(int32_t x, int64_t power)
{
    const uint32_t high = (uint32_t)(power >> 32),
                   low = high ? (uint32_t)power : me_maxu((uint32_t)power, ME_LEAST_POWER);
    const me_inverse_root root = me_inverse_of_root((uint64_t)high << 32 | low);
    const int32_t drop = root.half + 30 - ME_POWER_BITS / 2 - ME_NORMALISED_BITS;
    const int32_t z = ((x * root.inverse >> (drop - 1)) + 1) >> 1;
    return me_min(me_max(z, -ME_MOST_NORMALISED), ME_MOST_NORMALISED);
}

#endif
