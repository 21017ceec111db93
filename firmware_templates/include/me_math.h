/* SPDX-License-Identifier: Apache-2.0
 * Integer arithmetic of every operator. Right shifts of negative numbers are arithmetic (C11 leaves
 * that to the compiler; gcc and clang do it), sums and products are proven to stay inside int32.
 */
#ifndef ME_MATH_H
#define ME_MATH_H

#include <stdint.h>

#include "me_intrinsics.h"

/* acc in any range that keeps the product inside int32; -> scaled accumulator, not yet limited */
static inline int32_t me_requant(int32_t acc, int32_t pre, int32_t mult, int32_t offset, int32_t shift)
{
    return ((acc >> pre) * mult + offset) >> shift;
}

/* low <= high, both in int8 */
static inline int8_t me_clip(int32_t value, int32_t low, int32_t high)
{
    const int32_t floored = value < low ? low : value;
    return (int8_t)(floored > high ? high : floored);
}

/* -> limited to int8 */
static inline int8_t me_clip8(int32_t value)
{
    return (int8_t)me_clips(value, 8);
}

/* an entry of a 256-entry table whose first entry is for -128 */
static inline int8_t me_lookup(const int8_t *table, int8_t x)
{
    return table[(int32_t)x + 128];
}

/* sum of exponentials, at least 2**15 -> number of halvings that bring it below 2**16 */
static inline int32_t me_halvings(uint32_t sum)
{
    int32_t count = 0;
    while (sum >= 65536u) {
        sum >>= 1;
        count++;
    }
    return count;
}

#endif
