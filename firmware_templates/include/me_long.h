/* SPDX-License-Identifier: Apache-2.0
 * 64-bit integers, which are in pairs of registers.
 */
#ifndef ME_LONG_H
#define ME_LONG_H

#include <stdint.h>

/* x >> bits for bits 1 .. 31, without the branch that larger shifts need */
static inline int64_t me_long_shifted(int64_t x, int32_t bits)
{
    const uint32_t high = (uint32_t)(x >> 32), low = (uint32_t)x >> bits | high << (32 - bits);
    return (int64_t)((uint64_t)(uint32_t)((int32_t)high >> bits) << 32 | low);
}

static inline int64_t me_long_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t me_long_min(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
