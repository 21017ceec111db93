/* SPDX-License-Identifier: Apache-2.0
 * Functions that jump, of numbers of 16 bits, operands in L1. Cores 0 .. 7 call the kernel together; each
 * computes its share, and no barrier is inside.
 */
#ifndef ME_SEGMENTS_S16_H
#define ME_SEGMENTS_S16_H

#include <stdint.h>

/* From start on: value + (x - start) * slope / 2**14 */
typedef struct {
    int32_t slope;
    int16_t start, value;
} me_segment;

/* segments  2**levels of them, levels 0 to 10, by start, the first at -32768, the last one repeated; values of
 *           int8 have 8 bits more; aligned to 4 */
typedef struct {
    int32_t y_wide, levels;
    const int8_t *segments;
} me_segments_s16_params;

typedef struct {
    const int16_t *x;
    void *y;
    int32_t n;
} me_segments_s16_tile;

/* Any function of n >= 0 int16 numbers, y int16 or, unless y_wide, int8: of the last segment with start <= x
 * y = clip((value * 2^14 + (x - start) * slope + half) >> bits), bits 14 of int16 and 22 of int8,
 * half = 1 << bits >> 1; the sum stays inside int32. */
void me_segments_s16(const me_segments_s16_params *op, const me_segments_s16_tile *tile);

#endif
