/* SPDX-License-Identifier: Apache-2.0
 * Resizing along an axis, operands in L1: x [outer, n, inner] -> y [outer, results, inner]. Cores
 * 0 .. 7 call it together; each computes its share of the lines, and no barrier is inside.
 */
#ifndef ME_RESIZE_H
#define ME_RESIZE_H

#include "me_scale.h"

typedef struct {
    int32_t taps, shift;
    me_scale scale;
} me_resize_s8_params;

/* rows    for every result: its first neighbour, and for sums offset and weights
 * first   element of the whole axis that x begins with */
typedef struct {
    const int8_t *x;
    const int32_t *rows;
    int8_t *y;
    int32_t outer, n, results, inner, first;
} me_resize_s8_tile;

/* int8 y = clip((sum of `taps` int8 neighbours times their weights + offset) >> shift), then the table: one weight
 * for each neighbour of each result, -32,767 to 32,767. taps at least 1, fastest of 2; shift 0 to 22; the sum stays
 * inside int32. */
void me_resize_s8(const me_resize_s8_params *params, const me_resize_s8_tile *tile);

#endif
