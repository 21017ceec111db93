/* SPDX-License-Identifier: Apache-2.0
 * From sums of numbers and of their squares to what is requantised: me_variance.h.
 */
#ifndef ME_SPREAD_H
#define ME_SPREAD_H

#include "me_math.h"
#include "me_variance.h"

static inline uint64_t me_spread_of(const me_variance_s8_params *op, int64_t total, int64_t squares)
{
    const int64_t n = op->reduced, zero = op->x_zero;
    return (uint64_t)(op->centred ? n * squares - total * total : squares + zero * (n * zero - 2 * total));
}

/* The root by the highest 15 or 16 bits, rounded down. */
static inline int32_t me_root_of(uint64_t x)
{
    const uint32_t high = (uint32_t)(x >> 32);
    const int32_t half = high ? (me_fl1(high) + 2) >> 1 : 0; /* of 31 bits or 32 nothing is left out */
    return (int32_t)(me_root((uint32_t)(x >> half >> half)) << half);
}

/* In steps of the result, without limits. */
static inline int32_t me_spread_scaled(const me_variance_s8_params *op, int64_t total, int64_t squares)
{
    const uint64_t spread = me_spread_of(op, total, squares);
    const int32_t acc = op->root ? me_root_of(spread << (2 * op->up)) : (int32_t)(spread >> op->down);
    return me_requant(acc, op->scale.pre, op->mult, op->offset, op->shift);
}

#endif
