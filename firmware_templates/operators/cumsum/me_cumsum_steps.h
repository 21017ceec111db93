/* SPDX-License-Identifier: Apache-2.0
 * Sums along an axis: the body of me_cumsum_instances.def's kernels.
 */
#ifndef ME_CUMSUM_STEPS_H
#define ME_CUMSUM_STEPS_H

#include "me_cumsum.h"
#include "me_share.h"
#include "me_wide.h"

static inline void me_cumsum_store(const me_cumsum_params *op, void *y, int32_t at, int32_t wide, int32_t sum)
{
    me_wide_store(y, at, wide, &op->scale, me_requant(sum, op->scale.pre, op->mult, op->offset, op->shift));
}

/* wide: whether x or y may be int16; a constant of the kernel */
static inline void me_cumsum(const me_cumsum_params *params, const me_cumsum_tile *tile, int32_t wide)
{
    const me_cumsum_params op = *params;
    const int32_t x_wide = wide && op.x_wide, y_wide = wide && op.y_wide;
    const int32_t inner = tile->inner, signals = tile->outer * inner;
    for (int32_t signal = ME_FIRST(signals); signal < ME_LAST(signals); signal++) {
        const int32_t from = signal / inner * op.n * inner + signal % inner, end = from + op.n * inner;
        int32_t sum = 0;
        int64_t long_sum = (int64_t)1 << op.drop >> 1;
        for (int32_t at = from; wide && op.drop && at < end; at += inner) {
            long_sum += me_wide_load(tile->x, at, x_wide) - op.x_zero;
            me_cumsum_store(&op, tile->y, at, y_wide, (int32_t)(long_sum >> op.drop));
        }
        for (int32_t at = from; !(wide && op.drop) && at < end; at += inner) {
            sum += me_wide_load(tile->x, at, x_wide) - op.x_zero;
            me_cumsum_store(&op, tile->y, at, y_wide, sum);
        }
    }
}

#endif
