/* SPDX-License-Identifier: Apache-2.0
 * sqrt(a^2 + b^2): the body of me_magnitude_instances.def's kernels.
 */
#ifndef ME_MAGNITUDE_ROOTS_H
#define ME_MAGNITUDE_ROOTS_H

#include "me_magnitude.h"
#include "me_share.h"
#include "me_wide.h"

/* Of bytes, each square with its factor. */
static inline uint32_t me_narrow_power(const me_magnitude_params *op, const me_magnitude_tile *tile,
                                       int32_t i)
{
    const int32_t a = me_wide_load(tile->a, i, 0) - op->a_zero, b = me_wide_load(tile->b, i, 0) - op->b_zero;
    return (uint32_t)(a * a) * (uint32_t)op->a_mult + (uint32_t)(b * b) * (uint32_t)op->b_mult;
}

/* Of numbers in a common step. */
static inline uint32_t me_wide_power(const me_magnitude_params *op, const me_magnitude_tile *tile, int32_t i)
{
    const int32_t a = me_wide_load(tile->a, i, op->a_wide), b = me_wide_load(tile->b, i, op->b_wide);
    const int32_t left = ((a - op->a_zero) * op->a_mult + (1 << 13)) >> 14,
                  right = ((b - op->b_zero) * op->b_mult + (1 << 13)) >> 14;
    return (uint32_t)(left * left) + (uint32_t)(right * right);
}

/* In quarters; power is at most 2^31. */
static inline uint32_t me_root_in_quarters(uint32_t power)
{
    return power >> 28 ? me_root(power) << 2 : me_root(power << 4);
}

/* wide: whether an operand is int16; a constant of the kernel */
static inline void me_magnitude(const me_magnitude_params *op, const me_magnitude_tile *tile, int32_t wide)
{
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const uint32_t root =
            wide ? me_root_in_quarters(me_wide_power(op, tile, i)) : me_root(me_narrow_power(op, tile, i));
        me_wide_store(tile->y, i, op->y_wide, &op->scale,
                      me_requant((int32_t)root, op->scale.pre, op->mult, op->offset, op->shift));
    }
}

#endif
