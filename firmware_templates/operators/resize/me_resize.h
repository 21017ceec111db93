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

/* inner in bytes */
typedef struct {
    int32_t unused;
} me_take_s8_params;

/* rows    for every result: its first neighbour, and for sums offset and weights
 * first   element of the whole axis that x begins with */
typedef struct {
    const int8_t *x;
    const int32_t *rows;
    int8_t *y;
    int32_t outer, n, results, inner, first;
} me_resize_s8_tile;

typedef me_resize_s8_tile me_take_s8_tile;

/* x_wide, y_wide   x, y are int16, otherwise int8     low, high   limits of y */
typedef struct {
    int32_t taps, shift, x_wide, y_wide, low, high;
} me_resize_s16_params;

typedef struct {
    const void *x;
    const int32_t *rows;
    void *y;
    int32_t outer, n, results, inner, first;
} me_resize_s16_tile;

/* int8 y = clip((sum of `taps` int8 neighbours times their weights + offset) >> shift), then the table: one weight
 * for each neighbour of each result, -32,767 to 32,767. taps at least 1, fastest of 2; shift 0 to 22; the sum stays
 * inside int32. */
void me_resize_s8(const me_resize_s8_params *params, const me_resize_s8_tile *tile);

/* me_resize_s8 of int8 or int16 to int8 or int16, as x_wide and y_wide say, with the same ranges, without a table. */
void me_resize_s16(const me_resize_s16_params *params, const me_resize_s16_tile *tile);

/* y = x[index] along the axis, of elements of any type as bytes, inner >= 1; indices are `first` to first + n - 1. */
void me_take_s8(const me_take_s8_params *params, const me_take_s8_tile *tile);

#endif
