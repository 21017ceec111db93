/* SPDX-License-Identifier: Apache-2.0
 * Axes of int16 in another order, within L1. Cores 0 .. 7 call together, each moves its part. `from` and
 * `to` do not overlap.
 */
#ifndef ME_TRANSPOSE_S16_H
#define ME_TRANSPOSE_S16_H

#include <stdint.h>

/* to [extent 0][extent 1]... contiguous in the order of the loops, outermost first; a turn of a loop
 * moves `from` by its step in elements, which may be 0 or negative. */
#define ME_HALF_AXES 6
typedef struct {
    const int16_t *from;
    int16_t *to;
    int32_t loops; /* 1 .. ME_HALF_AXES */
    int32_t extent[ME_HALF_AXES], step[ME_HALF_AXES];
} me_transpose_s16_tile;

/* A transpose has no parameters. */
typedef struct {
    int32_t unused;
} me_transpose_s16_params;

/* Axes of int16 in another order: to[i0][i1].. = from[i0 * step 0 + i1 * step 1 + ..], one by one along the longest
 * loop. loops 1 to ME_HALF_AXES, extents at least 1; no barrier is inside. */
void me_transpose_s16(const me_transpose_s16_params *op, const me_transpose_s16_tile *tile);

#endif
