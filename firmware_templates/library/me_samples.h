/* SPDX-License-Identifier: Apache-2.0
 * How kernels of me_filters.h store a sample.
 */
#ifndef ME_SAMPLES_H
#define ME_SAMPLES_H

#include "me_filters.h"
#include "me_math.h"

static inline void me_put_sample(const me_samples_scale *to, int64_t x, void *y, int32_t at)
{
    const int32_t q = (int32_t)((x * to->mult + to->offset) >> to->shift);
    if (to->wide) {
        ((int16_t *)y)[at] = (int16_t)me_clips(q, 16);
        return;
    }
    const int8_t limited = me_clip(q, to->scale.low, to->scale.high);
    ((int8_t *)y)[at] = to->scale.table ? me_lookup(to->scale.table, limited) : limited;
}

#endif
