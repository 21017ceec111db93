/* SPDX-License-Identifier: Apache-2.0 */
#include "me_sums_s8.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

static int32_t requantise(int32_t sum, const me_channel *to, const me_scale *scale)
{
    const int32_t acc = (int32_t)((uint32_t)sum + (uint32_t)to->bias);
    return me_requant(acc, scale->pre, to->mult, to->offset, to->shift);
}

void me_join_sums(int32_t *sum, int32_t n, int32_t sum_step, int32_t bits)
{
    for (int32_t i = 0; i < n; i++, sum += sum_step)
        *sum = (int32_t)(((uint32_t)sum[0] << bits) + (uint32_t)sum[1]);
}

void me_limited_sums_s16(const int32_t *sum, int32_t n, int32_t sum_step, const me_channel *to,
                         const me_scale *scale, void *y, int32_t y_step)
{
    int16_t *result = y;
    for (int32_t i = 0; i < n; i++) {
        const int32_t q = requantise(sum[i * sum_step], to, scale);
        result[i * (y_step / 2)] = (int16_t)me_min(me_max(q, scale->low), scale->high);
    }
}

void me_sums_s8(const int32_t *sum, int32_t n, int32_t sum_step, const me_channel *to, const me_scale *scale,
                int8_t *y, int32_t y_step)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t q = requantise(sum[i * sum_step], to, scale);
        const int8_t limited = me_clip(q, scale->low, scale->high);
        y[i * y_step] = scale->table ? me_lookup(scale->table, limited) : limited;
    }
}

#endif
