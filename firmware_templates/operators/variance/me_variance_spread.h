/* SPDX-License-Identifier: Apache-2.0
 * Variances and roots of them: the body of me_variance_instances.def's kernels.
 */
#ifndef ME_VARIANCE_SPREAD_H
#define ME_VARIANCE_SPREAD_H

#include "me_group_rows.h"
#include "me_share.h"
#include "me_variance.h"
#include "me_wide.h"

/* A sum, and the sum of squares. */
typedef struct {
    int64_t total, squares;
} me_variance_sums;

static inline me_variance_sums me_narrow_sums(const int8_t *x, int32_t n, int32_t step)
{
    me_moments of = { 0, 0 }, rest = { 0, 0 };
    const int32_t words = step == 1 ? n / 4 : 0;
    if (words > 0)
        me_moments_words_b(x, words, &of);
    if (4 * words < n)
        me_moments_apart(x + 4 * words * step, n - 4 * words, step, &rest);
    return (me_variance_sums){ of.total + rest.total, (uint32_t)of.squares + (uint32_t)rest.squares };
}

static inline me_variance_sums me_wide_sums(const int16_t *x, int32_t n, int32_t step)
{
    int32_t total = 0;
    uint64_t squares = 0;
    for (; n > 0; n--, x += step) {
        const int32_t value = *x;
        total += value;
        squares += (uint32_t)(value * value);
    }
    return (me_variance_sums){ total, (int64_t)squares };
}

static inline uint64_t me_spread_of(const me_variance_params *op, me_variance_sums of)
{
    const int64_t n = op->reduced, zero = op->x_zero;
    return (uint64_t)(op->centred ? n * of.squares - of.total * of.total
                                  : of.squares + zero * (n * zero - 2 * of.total));
}

/* The root by the highest 15 or 16 bits, rounded down. */
static inline int32_t me_root_of(uint64_t x)
{
    const uint32_t high = (uint32_t)(x >> 32);
    const int32_t half = high ? (me_fl1(high) + 2) >> 1 : 0; /* of 31 bits or 32 nothing is left out */
    return (int32_t)(me_root((uint32_t)(x >> half >> half)) << half);
}

/* wide: whether x or y may be int16; a constant of the kernel */
static inline void me_variance(const me_variance_params *op, const me_variance_tile *tile, int32_t wide)
{
    const int32_t inner = tile->inner, n = tile->outer * inner, y_wide = wide && op->y_wide;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const int32_t outer = i / inner, at = outer * op->reduced * inner + (i - outer * inner);
        const uint64_t spread = me_spread_of(
            op,
            wide && op->x_wide ? me_wide_sums((const int16_t *)tile->x + at, op->reduced, inner)
                               : me_narrow_sums((const int8_t *)tile->x + at, op->reduced, inner));
        const int32_t acc = op->root ? me_root_of(spread << (2 * op->up)) : (int32_t)(spread >> op->down);
        me_wide_store(tile->y, i, y_wide, &op->scale,
                      me_requant(acc, op->scale.pre, op->mult, op->offset, op->shift));
    }
}

#endif
