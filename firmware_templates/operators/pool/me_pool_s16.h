/* SPDX-License-Identifier: Apache-2.0
 * Maximum and average over windows, sums and means over an axis, of numbers of 8 or 16 bits; operands in
 * L1. Cores 0 .. 7 call together, each computes its share, and no barrier is inside.
 */
#ifndef ME_POOL_S16_H
#define ME_POOL_S16_H

#include "me_pool.h"

/* As me_pool_s8_tile has it; row_stride and y_stride in numbers. */
typedef struct {
    const void *x;
    int32_t c, row_stride;
    const me_window *rows, *columns;
    int32_t oh, ow;
    void *y;
    int32_t y_stride;
} me_max_pool_s16_tile;

typedef me_max_pool_s16_tile me_avg_pool_s16_tile;

/* A maximum has no parameters. */
typedef struct {
    int32_t unused;
} me_max_pool_s16_params;

/* Maximum of every window and channel, int16 [h][w][c] -> [oh][ow][c]; windows of at least one pixel; twice as
 * fast where c is even. */
void me_max_pool_s16(const me_max_pool_s16_params *op, const me_max_pool_s16_tile *tile);

/* x_wide, y_wide   x, y are int16, otherwise int8     each, kinds   as me_avg_pool_s8_params has them */
typedef struct {
    int32_t x_zero, x_wide, y_wide, kinds;
    const me_channel *each;
    me_scale scale;
} me_avg_pool_s16_params;

/* me_avg_pool_s8 of int8 or int16 to int8 or int16, as x_wide and y_wide say, with the same ranges, except for
 * x_zero: of int16 -32,768 to 32,767. A table is for results of int8 only. */
void me_avg_pool_s16(const me_avg_pool_s16_params *op, const me_avg_pool_s16_tile *tile);

/* x_wide, y_wide   x, y are int16, otherwise int8     each   one channel, whose bias is not read */
typedef struct {
    int32_t reduced, x_zero, x_wide, y_wide;
    const me_channel *each;
    me_scale scale;
} me_reduce_s16_params;

/* x [outer][reduced][inner], y [outer][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_reduce_s16_tile;

/* me_reduce_s8 of int8 or int16 to int8 or int16, as x_wide and y_wide say, with the same ranges, except for x_zero:
 * of int16 -32,768 to 32,767. A table is for results of int8 only. */
void me_reduce_s16(const me_reduce_s16_params *op, const me_reduce_s16_tile *tile);

#endif
