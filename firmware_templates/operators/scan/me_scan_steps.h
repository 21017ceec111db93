/* SPDX-License-Identifier: Apache-2.0
 * Linear recurrences: the body of me_scan_instances.def's kernels.
 */
#ifndef ME_SCAN_STEPS_H
#define ME_SCAN_STEPS_H

#include "me_scan.h"
#include "me_share.h"
#include "me_wide.h"

/* The state after a step: of 16 bits, or of 24, whose products have 39. */
static inline int32_t me_scan_moved(int32_t w, int32_t state, int32_t bits, int32_t more, int32_t wide)
{
    const int32_t half = 1 << bits >> 1, most = (1 << 23) - 1;
    if (!wide)
        return me_clips(((w * state + half) >> bits) + more, 16);
    const int64_t next = (((int64_t)w * state + half) >> bits) + more;
    return next > most ? most : next < -most - 1 ? -most - 1 : (int32_t)next;
}

/* A state of a pass before. */
static inline int32_t me_scan_state(const void *states, int32_t i, int32_t wide)
{
    return wide ? (int32_t)((const int64_t *)states)[i] : ((const int32_t *)states)[i];
}

/* wide: whether some of a, b and y may be int16; streams: whether states go on from pass to pass; constants of the
 * kernel */
static inline void me_scan(const me_scan_params *params, const me_scan_tile *tile, int32_t wide,
                           int32_t streams)
{
    const me_scan_params op = *params;
    const int32_t a_wide = wide && op.a_wide, b_wide = wide && op.b_wide, y_wide = wide && op.y_wide;
    const int32_t keeps = streams && op.keeps, inner = tile->inner, elements = tile->outer * inner;
    const int32_t a_offset = (1 << op.a_shift >> 1) - op.a_zero * op.a_mult;
    const int32_t b_offset = (1 << op.b_shift >> 1) - op.b_zero * op.b_mult;
    const int32_t y_offset = op.y_zero * 128 + 64;
    for (int32_t i = ME_FIRST(elements); i < ME_LAST(elements); i++) {
        const int32_t at = i / inner * op.n * inner + i % inner;
        const int8_t *a = (const int8_t *)tile->a + (at << a_wide),
                     *b = (const int8_t *)tile->b + (at << b_wide);
        int8_t *y = (int8_t *)tile->y + (at << y_wide);
        int32_t s = streams && tile->before ? me_scan_state(tile->before, i, wide) : 0;
        for (int32_t t = 0; t < op.n; t++, a += inner << a_wide, b += inner << b_wide, y += inner << y_wide) {
            const int32_t w = me_clips((me_wide_load(a, 0, a_wide) * op.a_mult + a_offset) >> op.a_shift, 16);
            const int32_t more = (me_wide_load(b, 0, b_wide) * op.b_mult + b_offset) >> op.b_shift;
            s = me_scan_moved(w, s, op.bits, more, wide);
            if (!keeps)
                me_saturated_store(y, 0, y_wide, (s + y_offset) >> 7);
        }
        if (keeps && wide)
            ((int64_t *)tile->y)[i] = s;
        else if (keeps)
            ((int32_t *)tile->y)[i] = s;
    }
}

#endif
