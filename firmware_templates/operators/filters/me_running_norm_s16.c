/* SPDX-License-Identifier: Apache-2.0 */
#include "me_filters.h"

#include "me_samples.h"
#include "me_share.h"

#define POINT 16 /* fraction bits of a power, and of what is normalised: operators/filters */
#define Q 12
#define LEAST (1 << (POINT - 4)) /* power of what is divided by */
#define MOST (256 << Q)          /* of what is normalised */

/* A sample over the root of a power, which is not negative. */
static int32_t normalised(int32_t x, int64_t power)
{
    const uint32_t high = (uint32_t)(power >> 32),
                   low = high ? (uint32_t)power : me_maxu((uint32_t)power, LEAST);
    const me_inverse_root root = me_inverse_of_root((uint64_t)high << 32 | low);
    const int32_t drop = root.half + 30 - POINT / 2 - Q;
    const int32_t z = ((x * root.inverse >> (drop - 1)) + 1) >> 1;
    return me_min(me_max(z, -MOST), MOST);
}

void me_running_norm_s16(const me_running_norm_s16_params *op, const me_running_norm_s16_tile *tile)
{
    const me_samples_scale samples =
        op->samples; /* of a core's own: eight cores would wait for one bank of L1 */
    const int32_t inner = op->inner, steps = op->steps, bits = op->bits, keeps = op->keeps;
    const uint32_t share =
        (uint32_t)op->share; /* a product with an unsigned number takes fewer instructions */
    const int32_t lanes = tile->outer * inner, last = ME_LAST(lanes);
    const int64_t half = (int64_t)1 << (bits - 1);
    const int16_t *x = tile->x;
    void *y = tile->y;
    for (int32_t lane = ME_FIRST(lanes); lane < last; lane++) {
        const int32_t outer = lane / inner;
        int32_t at = outer * steps * inner + lane - outer * inner;
        int64_t power = tile->before ? tile->before[lane] : op->start;
        for (int32_t t = 0; t < steps; t++, at += inner) {
            const int32_t now = x[at];
            const int64_t more = (int64_t)(now * now) * (1 << POINT) - power;
            power += me_shifted(more * share + half, bits);
            if (!keeps)
                me_put_sample(&samples, normalised(now, power), y, at);
        }
        if (keeps)
            ((int64_t *)y)[lane] = power;
    }
}
