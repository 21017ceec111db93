/* SPDX-License-Identifier: Apache-2.0 */
#include "me_filters.h"

#include "me_long.h"
#include "me_math.h"
#include "me_share.h"

static inline void store_sample(const me_samples_scale *to, int32_t x, void *y, int32_t at)
{
    const int32_t q = (int32_t)(((int64_t)x * to->mult + to->offset) >> to->shift);
    const int32_t limited = me_min(me_max(q, to->scale.low), to->scale.high);
    if (to->wide)
        ((int16_t *)y)[at] = (int16_t)limited;
    else
        ((int8_t *)y)[at] = to->scale.table ? me_lookup(to->scale.table, (int8_t)limited) : (int8_t)limited;
}

/* Filters a sample through all sections. past: the last two inputs of every section, and the last two
 * outputs of the last section. */
static inline int32_t filter_sample(const int32_t *c, int32_t count, int32_t fraction, int32_t now,
                                    int32_t *past)
{
    const int64_t half = (int64_t)1 << (fraction - 1);
    for (int32_t i = 0; i < count; i++, c += 5, past += 2) {
        int64_t acc = (int64_t)c[0] * now + (int64_t)c[1] * past[0] + (int64_t)c[2] * past[1];
        acc -= (int64_t)c[3] * past[2] + (int64_t)c[4] * past[3];
        past[1] = past[0];
        past[0] = now;
        now = (int32_t)me_long_shifted(acc + half, fraction);
    }
    past[1] = past[0];
    past[0] = now;
    return now;
}

void me_biquads_s16(const me_biquads_s16_params *op, const me_biquads_s16_tile *tile)
{
    const me_samples_scale samples =
        op->samples; /* copied to each core's stack: eight cores would wait for one bank of L1 */
    const int32_t inner = op->inner, steps = op->steps, count = op->count, fraction = op->fraction,
                  keeps = op->keeps;
    const int32_t lanes = tile->outer * inner, kept = 2 * count + 2, last = ME_LAST(lanes),
                  unit = 1 << op->guard;
    int32_t *past = (int32_t *)(void *)tile->scratch + ME_CORE() * kept;
    for (int32_t lane = ME_FIRST(lanes); lane < last; lane++) {
        const int32_t outer = lane / inner;
        int32_t at = outer * steps * inner + lane - outer * inner;
        for (int32_t i = 0; i < kept; i++)
            past[i] = tile->before ? tile->before[i * lanes + lane] : 0;
        for (int32_t t = 0; t < steps; t++, at += inner) {
            const int32_t now = filter_sample(op->sections, count, fraction, tile->x[at] * unit, past);
            if (!keeps)
                store_sample(&samples, now, tile->y, at);
        }
        for (int32_t i = 0; keeps && i < kept; i++)
            ((int32_t *)tile->y)[i * lanes + lane] = past[i];
    }
}
