/* SPDX-License-Identifier: Apache-2.0 */
#include "me_sums_s16.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_sums_s16(const int32_t *sum, int32_t n, int32_t k, const me_channel *to, int32_t pre, int16_t *y)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t acc = sum[i * k] + to->bias;
        y[i * k] = (int16_t)me_clips(me_requant(acc, pre, to->mult, to->offset, to->shift), 16);
    }
}

#endif
