/* SPDX-License-Identifier: Apache-2.0 */
#include "me_filters.h"

#include "me_samples.h"
#include "me_share.h"

/* A sample through all sections. past: of every section's input, and of the output, the two before. */
static int32_t filtered(const me_biquads_s16_params *op, int32_t now, int32_t *past)
{
    const int64_t half = (int64_t)1 << (op->fraction - 1);
    const int32_t *c = op->sections;
    for (int32_t i = 0; i < op->count; i++, c += 5, past += 2) {
        int64_t acc = (int64_t)c[0] * now + (int64_t)c[1] * past[0] + (int64_t)c[2] * past[1];
        acc -= (int64_t)c[3] * past[2] + (int64_t)c[4] * past[3];
        past[1] = past[0];
        past[0] = now;
        now = (int32_t)((acc + half) >> op->fraction);
    }
    past[1] = past[0];
    past[0] = now;
    return now;
}

void me_biquads_s16(const me_biquads_s16_params *op, const me_biquads_s16_tile *tile)
{
    const int32_t inner = op->inner, lanes = tile->outer * inner, kept = 2 * op->count + 2, last = ME_LAST(lanes);
    int32_t *past = (int32_t *)(void *)tile->scratch + ME_CORE() * kept;
    for (int32_t lane = ME_FIRST(lanes); lane < last; lane++) {
        const int32_t outer = lane / inner;
        int32_t at = outer * op->steps * inner + lane - outer * inner;
        for (int32_t i = 0; i < kept; i++)
            past[i] = tile->before ? tile->before[i * lanes + lane] : 0;
        for (int32_t t = 0; t < op->steps; t++, at += inner) {
            const int32_t now = filtered(op, tile->x[at] * (1 << op->guard), past);
            if (!op->keeps)
                me_put_sample(&op->samples, now, tile->y, at);
        }
        for (int32_t i = 0; op->keeps && i < kept; i++)
            ((int32_t *)tile->y)[i * lanes + lane] = past[i];
    }
}
