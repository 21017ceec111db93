/* SPDX-License-Identifier: Apache-2.0 */
#include "me_filters.h"

#include "me_samples.h"
#include "me_share.h"

#define POINT 16 /* bits behind the point of a power, and of what is normalised: operators/filters */
#define Q 12
#define LEAST (1 << (POINT - 4)) /* power of what is divided by */
#define MOST (256 << Q)          /* of what is normalised */

/* A sample over the root of a power. */
static int32_t normalised(int32_t x, int64_t power)
{
    const me_inverse_root root = me_inverse_of_root((uint64_t)(power > LEAST ? power : LEAST));
    const int32_t drop = root.half + 30 - POINT / 2 - Q;
    const int32_t z = (x * root.inverse + (1 << (drop - 1))) >> drop;
    return me_min(me_max(z, -MOST), MOST);
}

void me_running_norm_s16(const me_running_norm_s16_params *op, const me_running_norm_s16_tile *tile)
{
    const int32_t inner = op->inner, lanes = tile->outer * inner, last = ME_LAST(lanes);
    const int64_t half = (int64_t)1 << (op->bits - 1);
    for (int32_t lane = ME_FIRST(lanes); lane < last; lane++) {
        const int32_t outer = lane / inner;
        int32_t at = outer * op->steps * inner + lane - outer * inner;
        int64_t power = tile->before ? tile->before[lane] : op->start;
        for (int32_t t = 0; t < op->steps; t++, at += inner) {
            const int32_t now = tile->x[at];
            const int64_t more = (int64_t)(now * now) * (1 << POINT) - power;
            power += (more * op->share + half) >> op->bits;
            if (!op->keeps)
                me_put_sample(&op->samples, normalised(now, power), tile->y, at);
        }
        if (op->keeps)
            ((int64_t *)tile->y)[lane] = power;
    }
}
