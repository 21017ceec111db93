/* SPDX-License-Identifier: Apache-2.0
 * A piecewise linear function of an int16 value; it may jump between two segments.
 */
#ifndef ME_SEGMENTS_H
#define ME_SEGMENTS_H

#include "me_math.h"

/* A linear segment for x >= start: value + (x - start) * slope / 2**14. */
typedef struct {
    int32_t slope;
    int16_t start, value;
} me_segment;

/* The function at x, not yet limited: the value of the last segment with start <= x, rounded to nearest;
 * the sum stays inside int32.
 * table  2**levels segments, levels 0 to 10, of two words each, sorted by start; the first one starts at
 *        -32768, the last one is stored twice; values have `drop` fraction bits, 0 or 8 */
static inline int32_t me_on_segment(const int32_t *table, int32_t x, int32_t levels, int32_t drop)
{
    const me_segment *segment = (const me_segment *)(const void *)table;
    for (int32_t half = 1 << levels >> 1; half > 0; half >>= 1)
        segment += segment[half].start <= x ? half : 0;
    const int32_t bits = 14 + drop, line = segment->value * (1 << 14) + (x - segment->start) * segment->slope;
    return (line + (1 << bits >> 1)) >> bits;
}

#endif
