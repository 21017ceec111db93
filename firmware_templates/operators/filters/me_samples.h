/* SPDX-License-Identifier: Apache-2.0
 * How kernels of me_filters.h store a sample.
 */
#ifndef ME_SAMPLES_H
#define ME_SAMPLES_H

#include "me_filters.h"
#include "me_math.h"

/* x >> bits, of 1 .. 31 bits, without the branch for more */
static inline int64_t me_shifted(int64_t x, int32_t bits)
{
    const uint32_t high = (uint32_t)(x >> 32), low = (uint32_t)x >> bits | high << (32 - bits);
    return (int64_t)((uint64_t)(uint32_t)((int32_t)high >> bits) << 32 | low);
}

static inline void me_put_sample(const me_samples_scale *to, int32_t x, void *y, int32_t at)
{
    const int32_t q = (int32_t)(((int64_t)x * to->mult + to->offset) >> to->shift);
    const int32_t limited = me_min(me_max(q, to->scale.low), to->scale.high);
    if (to->wide)
        ((int16_t *)y)[at] = (int16_t)limited;
    else
        ((int8_t *)y)[at] = to->scale.table ? me_lookup(to->scale.table, (int8_t)limited) : (int8_t)limited;
}

#endif
