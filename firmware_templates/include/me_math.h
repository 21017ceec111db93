/* SPDX-License-Identifier: Apache-2.0
 * Integer arithmetic of the operators. Right shifts of negative values are arithmetic
 * (implementation-defined in C11; gcc and clang do it); sums and products are proven to stay inside int32.
 */
#ifndef ME_MATH_H
#define ME_MATH_H

#include <stdint.h>

#include "me_intrinsics.h"

/* Requantises acc: (acc * mult + offset) >> shift after a pre-shift, not clipped. The product fits int32. */
static inline int32_t me_requant(int32_t acc, int32_t pre, int32_t mult, int32_t offset, int32_t shift)
{
    return ((acc >> pre) * mult + offset) >> shift;
}

/* a / b rounded down, and the remainder; b > 0 */
static inline int32_t me_quotient(int32_t a, int32_t b) { return a / b - (a % b < 0); }
static inline int32_t me_remainder(int32_t a, int32_t b)
{
    const int32_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

/* low <= high, both int8 */
static inline int8_t me_clip(int32_t value, int32_t low, int32_t high)
{
    const int32_t floored = value < low ? low : value;
    return (int8_t)(floored > high ? high : floored);
}

/* -> x clipped to int8 */
static inline int8_t me_clip8(int32_t value) { return (int8_t)me_clips(value, 8); }

/* -> the entry for x in a 256-entry table whose first entry is for -128 */
static inline int8_t me_lookup(const int8_t *table, int8_t x) { return table[(int32_t)x + 128]; }

/* -> table[most - x]; the address of table[most] need not be inside the table */
static inline int32_t me_below(const uint16_t *table, int32_t most, int32_t x)
{
    const uintptr_t first = (uintptr_t)table + 2u * (uintptr_t)most;
    return *(const uint16_t *)(first - 2u * (uintptr_t)x);
}

/* Interpolates a Q15 table with 512 intervals of width 2**bits, centred at x = 0; adjacent entries differ
 * by less than 2**15; bits 0 to 13. Instructions need literal operands: there is one case for each shift
 * that long rows use. */
static inline int32_t me_between(const int16_t *table, int32_t x, int32_t bits)
{
    switch (bits) {
#define ME_BETWEEN(BITS) \
    case BITS: { \
        const int32_t at = me_clips(x, (BITS) + 9), part = at & ((1 << (BITS)) - 1); \
        const int16_t *low = table + 256 + (at >> (BITS)); \
        return low[0] + me_mulsRN(low[1] - low[0], part, BITS); \
    }
        ME_BETWEEN(5)
        ME_BETWEEN(6)
        ME_BETWEEN(10)
#undef ME_BETWEEN
    }
    const int32_t limit = 256 << bits, at = me_max(me_min(x, limit - 1), -limit);
    const int16_t *low = table + 256 + (at >> bits);
    const int32_t part = (low[1] - low[0]) * (at & ((1 << bits) - 1));
    return low[0] + ((part + (1 << bits >> 1)) >> bits);
}

/* Largest integer whose square is at most x. All 16 steps in line would take half of a core's own
 * instruction cache. The loop is not vectorised on the host: clang 22 does not terminate on a vectorised
 * loop around the 16 steps. */
static inline uint32_t me_root(uint32_t x)
{
    uint32_t root = 0;
#if defined(__clang__) && defined(__riscv)
#pragma clang loop unroll_count(4)
#elif defined(__clang__)
#pragma clang loop unroll(disable)
#endif
    for (uint32_t bit = 1u << 15; bit != 0; bit >>= 1)
        if ((root | bit) * (root | bit) <= x)
            root |= bit;
    return root;
}

/* 1 / sqrt(x) = inverse / 2**(30 + half) */
typedef struct {
    int32_t inverse, half;
} me_inverse_root;

/* x   1 .. 2**62 */
static inline me_inverse_root me_inverse_of_root(uint64_t x)
{
    const uint32_t high = (uint32_t)(x >> 32), low = (uint32_t)x;
    const int32_t half = high ? (me_fl1(high) + 2) >> 1 : (me_fl1(low) - 30) >> 1;
    uint32_t mantissa; /* x >> (2 * half), 31 or 32 bits */
    if (high) /* two shifts by half: one shift by 32 is undefined */
        mantissa = low >> half >> half | high << (16 - half) << (16 - half);
    else
        mantissa = low << (-2 * half);
    const uint32_t root = me_root(mantissa);
    return (me_inverse_root){ (int32_t)(((1u << 30) + (root >> 1)) / root), half };
}

/* Normalisation of a row, y = (x * slope + start) >> shift; product and sum modulo 2**32. */
typedef struct {
    int32_t slope, start, shift;
} me_line;

/* spread   length squared times the variance, 1 .. 2**62     middle   length times the mean
 * bits     fraction bits of a normalised value */
static inline me_line me_norm_line(uint64_t spread, int32_t length, int32_t middle, int32_t bits)
{
    const me_inverse_root found = me_inverse_of_root(spread);
    const int32_t inverse = found.inverse, half = found.half;
    const int32_t drop = me_max(15 + half - bits, 0), shift = 30 + half - bits - drop;
    const uint32_t below = (uint32_t)((int64_t)middle * inverse >> drop);
    return (me_line){ length * inverse >> drop, (int32_t)(((1u << shift) >> 1) - below), shift };
}

/* x * slope + start, modulo 2**32 */
static inline int32_t me_on_line(int32_t x, me_line line)
{
    return me_mac(line.start, x, line.slope) >> line.shift;
}

#endif
