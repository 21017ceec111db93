/* SPDX-License-Identifier: Apache-2.0
 * Normalisation of a row as a linear function: (x * slope + start) >> shift = (x - mean) / sqrt(variance +
 * eps), with `bits` fraction bits.
 */
#ifndef ME_LINE_H
#define ME_LINE_H

#include "me_math.h"

/* Index of the highest set bit; x > 0. */
static inline int32_t me_highest_bit(int32_t x) { return me_fl1((uint32_t)x); }

/* total, squares   sum of the row's elements, and of their squares modulo 2**32
 * middle           length times the value that is used as the mean
 * eps              (eps_high << 31 | eps_low) >> less, in units of the square of the length times the variance */
static inline me_line me_line_of_row(int32_t total, int32_t squares, int32_t middle, int32_t length,
                                     int32_t eps_high, int32_t eps_low, int32_t less, int32_t bits)
{
    const int64_t spread = (int64_t)(uint32_t)squares * length + (int64_t)middle * (middle - 2 * total);
    const uint64_t eps = ((uint64_t)(uint32_t)eps_high << 31 | (uint32_t)eps_low) >> less;
    const uint64_t whole = (uint64_t)spread + eps;
    return me_norm_line(whole ? whole : 1u, length, middle, bits);
}

#endif
