/* SPDX-License-Identifier: Apache-2.0 */
#include "me_scan.h"

#include "me_intrinsics.h"
#include "me_math.h"
#include "me_share.h"

/* With 7 bits behind the point states are 16 bits wide. */
void me_scan_s8(const me_scan_s8_params *op, const me_scan_s8_tile *tile)
{
    const int32_t inner = tile->inner, elements = tile->outer * inner, n = op->n;
    const int32_t a_mult = op->a_mult, a_shift = op->a_shift, b_mult = op->b_mult, b_shift = op->b_shift;
    const int32_t a_offset = (1 << a_shift >> 1) - op->a_zero * a_mult;
    const int32_t b_offset = (1 << b_shift >> 1) - op->b_zero * b_mult;
    const int32_t bits = op->bits, half = 1 << bits >> 1, y_offset = op->y_zero * 128 + 64;
    for (int32_t i = ME_FIRST(elements); i < ME_LAST(elements); i++) {
        const int32_t at = i / inner * n * inner + i % inner;
        const int8_t *a = tile->a + at, *b = tile->b + at;
        int8_t *y = tile->y + at;
        int32_t s = 0;
        for (int32_t t = 0; t < n; t++, a += inner, b += inner, y += inner) {
            const int32_t w = me_clips((*a * a_mult + a_offset) >> a_shift, 16);
            s = me_clips(((w * s + half) >> bits) + ((*b * b_mult + b_offset) >> b_shift), 16);
            *y = me_clip8((s + y_offset) >> 7);
        }
    }
}
