/* SPDX-License-Identifier: Apache-2.0 */
#include "me_functions_s16.h"

#include "me_math.h"
#include "me_segments.h"
#include "me_share.h"

void me_segments_s16(const me_segments_s16_params *op, const me_segments_s16_tile *tile)
{
    const int32_t *const segments = (const int32_t *)(const void *)op->segments;
    const int16_t *const x = tile->x;
    int16_t *const halves = tile->y;
    int8_t *const bytes = tile->y;
    const int32_t levels = op->levels;
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        if (op->y_wide)
            halves[i] = (int16_t)me_clips(me_on_segment(segments, x[i], levels, 0), 16);
        else
            bytes[i] = me_clip8(me_on_segment(segments, x[i], levels, 8));
    }
}
