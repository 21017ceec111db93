/* SPDX-License-Identifier: Apache-2.0 */
#include "me_scan_s16.h"

#include "me_intrinsics.h"
#include "me_share.h"
#include "me_wide.h"

enum { STATE_MAX = (1 << 23) - 1 };

/* The state behind a step; products with it have 39 bits. */
static inline int32_t moved(int32_t w, int32_t state, int32_t bits, int32_t more)
{
    const int64_t next = (((int64_t)w * state + (1 << bits >> 1)) >> bits) + more;
    return next > STATE_MAX ? STATE_MAX : next < -STATE_MAX - 1 ? -STATE_MAX - 1 : (int32_t)next;
}

void me_scan_s16(const me_scan_s16_params *params, const me_scan_s16_tile *tile)
{
    const me_scan_s16_params op = *params;
    const int32_t inner = tile->inner, elements = tile->outer * inner;
    const int32_t a_offset = (1 << op.a_shift >> 1) - op.a_zero * op.a_mult;
    const int32_t b_offset = (1 << op.b_shift >> 1) - op.b_zero * op.b_mult;
    const int32_t y_offset = op.y_zero * 128 + 64;
    const int32_t low = op.y_wide ? -32768 : -128, high = op.y_wide ? 32767 : 127;
    for (int32_t i = ME_FIRST(elements); i < ME_LAST(elements); i++) {
        int32_t s = 0, at = i / inner * op.n * inner + i % inner;
        for (int32_t t = 0; t < op.n; t++, at += inner) {
            const int32_t a = me_wide_load(tile->a, at, op.a_wide), b = me_wide_load(tile->b, at, op.b_wide);
            const int32_t w = me_clips((a * op.a_mult + a_offset) >> op.a_shift, 16);
            s = moved(w, s, op.bits, (b * op.b_mult + b_offset) >> op.b_shift);
            me_limited_store(tile->y, at, op.y_wide, (s + y_offset) >> 7, low, high);
        }
    }
}
