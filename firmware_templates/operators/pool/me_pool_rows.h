/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_pool_windows.c: words of four channels, at any address. Two bodies:
 * me_pool_rows.S for GAP9's cores, which knows these offsets, and me_pool_rows.c in C.
 */
#ifndef ME_POOL_ROWS_H
#define ME_POOL_ROWS_H

#include "me_pool.h"

/* `words` words a pixel, of `pixels` windows in the order of rows: `room` of them to the end of the
 * first row, `width` in others. Each is of four words, at tap[0 .. 3] from where its window starts.
 * Pixels are x_pixel and y_pixel bytes apart; x_row more from the end of a row to the next one. */
typedef struct {
    const int8_t *x; /* the first window */
    int8_t *y;
    int32_t tap[4];
    int32_t words, pixels, room, width, x_pixel, y_pixel, x_row;
    /* averages (of words and pairs pre is 0): q = clip((((sum + bias) >> pre) * mult + offset) >> shift) */
    int32_t bias, pre, mult, offset, shift;
    uint32_t low, high; /* in all four bytes */
} me_taps;

void me_max_words(const me_taps *taps);
void me_max_more(const me_taps *taps); /* y is the maximum so far, tap[0] does not count */
void me_average_words(const me_taps *taps);
void me_average_pairs(const me_taps *taps); /* of tap[0] and tap[1] alone */

/* Any windows: `words` words a step apart in x and in y (steps after the whole window), each the
 * maximum or the average of rows x columns words; row_step from the end of a row to the next row's
 * start. bias .. high of `taps` as above. */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t words, rows, columns, column_step, row_step, x_step, y_step;
    me_taps scale;
} me_big_window;

void me_max_window(const me_big_window *window);
void me_average_window(const me_big_window *window);

/* -> the sum of n >= 1 words of four bytes each */
int32_t me_sum_bytes(const int8_t *x, int32_t words);

#endif
