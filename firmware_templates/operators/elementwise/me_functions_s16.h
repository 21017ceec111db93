/* SPDX-License-Identifier: Apache-2.0
 * Functions of one number of 8 or 16 bits, operands in L1. Cores 0 .. 7 call a kernel together; each computes its
 * share, and no barrier is inside.
 */
#ifndef ME_FUNCTIONS_S16_H
#define ME_FUNCTIONS_S16_H

#include "me_scale.h"

/* x_wide, y_wide   x, y are int16, otherwise int8; a table is for results of int8 only
 * each    `channels` of them, and the channel of all numbers that are not below x_zero after them
 *         (prelu); an affine operator has x_zero = 32,768
 * bias and scale.pre are not read. */
typedef struct {
    int32_t channels, x_zero, x_wide, y_wide;
    const me_channel *each;
    me_scale scale;
} me_affine_s16_params;

/* x, y  [outer][channels][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_affine_s16_tile;

/* A factor and an offset for every channel c, int8 or int16 to int8 or int16:
 * y = clip((x * mult[c] + offset[c]) >> shift[c]), then the table.
 * mult int32 with a sign, as large as leaves the sum inside int32; shift 0 to 30; extents at least 1. */
void me_affine_s16(const me_affine_s16_params *op, const me_affine_s16_tile *tile);

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

/* x_wide, y_wide: x, y are int16, otherwise int8; one of them is int16
 * table  of x of 8 bits an entry for each, the first for -128; of 16 bits points as in me_points.h */
typedef struct {
    int32_t x_wide, y_wide, x_zero;
    const int16_t *table;
} me_table_s16_params;

typedef struct {
    const void *x;
    void *y;
    int32_t n;
} me_table_s16_tile;

/* Any function of n >= 0 numbers of int8 or int16, y int8 or int16. Of int8 x: y = table[x + 128]. Of int16
 * x: along the line between the two points nearest to |x - x_zero|, which is at most 65,535, rounded to nearest
 * and clipped to the type of y. */
void me_table_s16(const me_table_s16_params *op, const me_table_s16_tile *tile);

#endif
