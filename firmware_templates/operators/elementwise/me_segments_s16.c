/* SPDX-License-Identifier: Apache-2.0 */
#include "me_functions_s16.h"

#include "me_math.h"
#include "me_share.h"

enum { SLOPE_BITS = 14 };

/* The function at x, with 14 fraction bits. */
static inline int32_t on_segment(const me_segment *segments, int32_t levels, int32_t x)
{
    for (int32_t half = 1 << levels >> 1; half > 0; half >>= 1)
        segments += segments[half].start <= x ? half : 0;
    return segments->value * (1 << SLOPE_BITS) + (x - segments->start) * segments->slope;
}

void me_segments_s16(const me_segments_s16_params *op, const me_segments_s16_tile *tile)
{
    const me_segment *const segments = (const me_segment *)(const void *)op->segments;
    const int16_t *const x = tile->x;
    int16_t *const halves = tile->y;
    int8_t *const bytes = tile->y;
    const int32_t levels = op->levels, bits = op->y_wide ? SLOPE_BITS : SLOPE_BITS + 8, half = 1 << bits >> 1;
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const int32_t y = (on_segment(segments, levels, x[i]) + half) >> bits;
        if (op->y_wide)
            halves[i] = (int16_t)me_clips(y, 16);
        else
            bytes[i] = me_clip8(y);
    }
}
