/* SPDX-License-Identifier: Apache-2.0
 * Resizing along an axis, operands in L1: x [outer, n, inner] -> y [outer, results, inner]. The
 * cores call it together; each computes its share of the lines.
 */
#ifndef ME_RESIZE_H
#define ME_RESIZE_H

#include "me_scale.h"

/* y = clip((sum of `taps` neighbours times their weights + offset) >> shift), then the table */
typedef struct {
    int32_t taps, shift;
    me_scale scale;
} me_resize_s8_params;

/* y = x[index] along the axis; inner in bytes */
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

/* me_resize_s8 of elements of 16 bits: of x, of y or of both */
typedef struct {
    int32_t taps, shift, x_wide, y_wide, low, high;
} me_resize_s16_params;

typedef struct {
    const void *x;
    const int32_t *rows;
    void *y;
    int32_t outer, n, results, inner, first;
} me_resize_s16_tile;

void me_resize_s8(const me_resize_s8_params *params, const me_resize_s8_tile *tile);

void me_resize_s16(const me_resize_s16_params *params, const me_resize_s16_tile *tile);

void me_take_s8(const me_take_s8_params *params, const me_take_s8_tile *tile);

#endif
