/* SPDX-License-Identifier: Apache-2.0
 * Maximum and average over windows; operands in L1, channels last. Cores 0 .. 7 call together, each
 * computes its share, and no barrier is inside.
 */
#ifndef ME_POOL_H
#define ME_POOL_H

#include <stdint.h>

#include "me_scale.h"

/* One axis of a window, clipped to what exists: first, one past the last; kind: see me_avg_pool_s8_params.
 * alike: of this window and those after it, how many have its size and kind and are at one distance
 * from each other; 0 if nobody counted, which costs time (operators/pool counts). */
typedef struct {
    int32_t first, last;
    uint8_t kind, alike;
} me_window;

/* x  rows of c channels a pixel, row_stride bytes between rows; rows[oh] and columns[ow] say which of
 *    its rows and columns the results take, at least one each
 * y  oh x ow x c, y_stride bytes between pixels */
typedef struct {
    const int8_t *x;
    int32_t c, row_stride;
    const me_window *rows, *columns;
    int32_t oh, ow;
    int8_t *y;
    int32_t y_stride;
} me_pool_s8_tile;

typedef me_pool_s8_tile me_max_pool_s8_tile, me_avg_pool_s8_tile;

/* A maximum has no parameters. */
typedef struct {
    int32_t unused;
} me_max_pool_s8_params;

/* Maximum of every window and channel, int8 [h][w][c] -> [oh][ow][c]; windows of at least one pixel.
 * Fastest for windows of up to 9 pixels that are the same distance apart, c a multiple of 4. Where a
 * row is a multiple of 64 bytes, x and y best start 32 bytes apart modulo 64, or rows are 4 bytes
 * longer: else cores meet in the banks of L1 again and again. */
void me_max_pool_s8(const me_max_pool_s8_params *op, const me_max_pool_s8_tile *tile);

/* each: requantisation of a window, each[row kind * kinds + column kind], one per pair of divisors; its bias is
 * not read */
typedef struct {
    int32_t x_zero, kinds;
    const me_channel *each;
    me_scale scale;
} me_avg_pool_s8_params;

/* Average of every window and channel, int8 [h][w][c] -> [oh][ow][c]: acc = sum of x - x_zero over the window, in
 * int32, y = clip((((acc >> pre) * mult) + offset) >> shift), then the table. x_zero -128 to 127; pre 0 to 20,
 * mult 0 to 32,767, shift 0 to 30. Fastest for windows of 4 pixels, pre 0, c a multiple of 4 and no table. */
void me_avg_pool_s8(const me_avg_pool_s8_params *op, const me_avg_pool_s8_tile *tile);

#endif
