/* SPDX-License-Identifier: Apache-2.0
 * Probabilities from exponentials in Q15 whose sum is mantissa * 2**halvings.
 */
#ifndef ME_PROBABILITY_H
#define ME_PROBABILITY_H

#include <stdint.h>

/* 2**31 / mantissa, rounded down; mantissa 2**15 .. 2**16 - 1 */
static inline int32_t me_reciprocal(int32_t mantissa) { return (int32_t)(0x80000000u / (uint32_t)mantissa); }

/* (share * mult) / 2**shift, rounded half up, with share = exponential * reciprocal / 2**15, at most
 * 2**16; unsigned arithmetic; exponential 0 .. 2**15, mult 0 .. 2**15 - 1, shift 0 .. 31. */
static inline int32_t me_probability(int32_t exponential, int32_t reciprocal, int32_t mult, int32_t shift)
{
    const uint32_t share = (uint32_t)exponential * (uint32_t)reciprocal >> 15;
    return (int32_t)((share * (uint32_t)mult + (1u << shift >> 1)) >> shift);
}

#endif
