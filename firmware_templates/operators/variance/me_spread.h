/* SPDX-License-Identifier: Apache-2.0
 * Variances of rows and their square roots, computed from sums over the rows.
 */
#ifndef ME_SPREAD_H
#define ME_SPREAD_H

#include "me_math.h"

/* Square root from the highest 15 or 16 bits of the root, rounded down. */
static inline int32_t me_root_of(uint64_t x)
{
    const uint32_t high = (uint32_t)(x >> 32);
    const int32_t half = high ? (me_fl1(high) + 2) >> 1 : 0; /* 0: x fits in 32 bits, the root is exact */
    return (int32_t)(me_root((uint32_t)(x >> half >> half)) << half);
}

/* total     sum of the `length` elements of a row
 * squares   sum of their squares modulo 2**32
 * high      sum of squares >> 15; 0 if the sum of squares is below 2**32
 * spread    length * (sum of x^2) - (sum of x)^2 if centred, otherwise the sum of (x - zero)^2; 64 bits
 * -> if root, the square root of spread << (2 * places), from its highest 31 or 32 bits; otherwise
 * spread >> places. Both fit int32. length 1 to 65,536; places 0 to 33. */
static inline int32_t me_spread_of(int32_t total, int32_t squares, int32_t high, int32_t length, int32_t zero,
                                   int32_t centred, int32_t root, int32_t places)
{
    const uint64_t above = (uint64_t)(uint32_t)high << 15;
    const int64_t sum = (int64_t)(above + ((uint32_t)squares - (uint32_t)above)), n = length, all = total;
    const uint64_t spread = (uint64_t)(centred ? n * sum - all * all : sum + zero * (n * zero - 2 * all));
    return root ? me_root_of(spread << (2 * places)) : (int32_t)(spread >> places);
}

#endif
