/* SPDX-License-Identifier: Apache-2.0 */
#include "me_sums_s8.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_sums_s8(const int32_t *sum, int32_t n, int32_t sum_step, const me_channel *to, const me_scale *scale,
                int8_t *y, int32_t y_step)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t acc = sum[i * sum_step] + to->bias;
        const int32_t q = me_requant(acc, scale->pre, to->mult, to->offset, to->shift);
        const int8_t limited = me_clip(q, scale->low, scale->high);
        y[i * y_step] = scale->table ? me_lookup(scale->table, limited) : limited;
    }
}

#endif
