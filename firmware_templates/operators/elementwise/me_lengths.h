/* SPDX-License-Identifier: Apache-2.0
 * sqrt(a^2 + b^2), rounded down.
 */
#ifndef ME_LENGTHS_H
#define ME_LENGTHS_H

#include "me_math.h"

/* Sum of two squares, each times its factor; the sum is below 2^32. */
static inline int32_t me_length(int32_t a, int32_t a_mult, int32_t b, int32_t b_mult)
{
    return (int32_t)me_root((uint32_t)(a * a) * (uint32_t)a_mult + (uint32_t)(b * b) * (uint32_t)b_mult);
}

/* Length of the vector (a, b) in quarters; a, b at most 2^15. */
static inline int32_t me_fine_length(int32_t a, int32_t b)
{
    const uint32_t power = (uint32_t)(a * a) + (uint32_t)(b * b);
    return (int32_t)(power >> 28 ? me_root(power) << 2 : me_root(power << 4));
}

#endif
