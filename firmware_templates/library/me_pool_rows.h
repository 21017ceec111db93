/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_pool.c: words of four channels, at any address. Two bodies:
 * me_pool_rows.S for GAP9's cores, which knows these offsets, and me_pool_rows.c in C.
 */
#ifndef ME_POOL_ROWS_H
#define ME_POOL_ROWS_H

#include "me_pool.h"

/* Four words become one, `inner` times `outer` times `rows` (>= 1) of them. A turn of the inner loop
 * moves the taps by x_inner and y by y_inner; after all of them come x_outer and y_outer in addition,
 * and after all turns of that loop x_row and y_row. */
typedef struct {
    const int8_t *tap[4];
    int8_t *y;
    int32_t inner, outer, x_inner, x_outer, y_inner, y_outer;
    /* of the first tap alone, in me_max_words: it may be the result so far */
    int32_t first_inner, first_outer;
    /* me_average_words (pre is 0 there) and windows: q = clip((((sum + bias) >> pre) * mult + offset) >> shift) */
    int32_t bias, pre, mult, offset, shift;
    uint32_t low, high; /* in all four bytes */
    int32_t rows, x_row, y_row, first_row;
} me_taps;

void me_max_words(const me_taps *taps);
void me_average_words(const me_taps *taps);

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
