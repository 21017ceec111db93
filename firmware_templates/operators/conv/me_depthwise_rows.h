/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_depthwise_conv_s8.c, four channels at a time. Two bodies: me_depthwise_rows.S
 * for GAP9's cores, which knows these offsets, and me_depthwise_rows.c in C. zero: the table's entry
 * for 0, or 0 without a table.
 */
#ifndef ME_DEPTHWISE_ROWS_H
#define ME_DEPTHWISE_ROWS_H

#include "me_depthwise_conv_s8.h"

/* Two rows a and b of n pixels, a_step and b_step bytes apart: the two bytes of each of the first
 * four channels become a half, n halves 4 bytes apart, channel_bytes from channel to channel. */
void me_depthwise_pairs(const int8_t *a, const int8_t *b, int32_t a_step, int32_t b_step, int8_t *to,
                        int32_t channel_bytes, int32_t n);

/* 3 x 3, stride 1: two rows of results, four channels. A vector is a word of the four rows that the
 * two results need, from the top; where `turn` is 16, rows 2 and 3 come first.
 *   vectors  3 * thirds + rest + 2 of them a channel
 *   weights  for each of the three columns a word a channel: the three rows, then 0 */
typedef struct {
    const int8_t *vectors;
    int32_t channel_bytes;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *upper, *lower;
    int32_t y_step, thirds, rest, turn, pre, low, high;
    const int8_t *zero;
} me_depthwise_two;

/* limits are those of int8, pre is 0; any limits, pre is 0; any; any, and a table */
void me_depthwise_strip(const me_depthwise_two *two);
void me_depthwise_strip_limits(const me_depthwise_two *two);
void me_depthwise_strip_pre(const me_depthwise_two *two);
void me_depthwise_strip_table(const me_depthwise_two *two);

/* 3 x 3, horizontal stride 2: `count` channels of one row. Rows that are padding have a step of 0
 * and point to four bytes of padding.
 *   first  0: column 0 of the first window is padding
 *   n      windows whose last column exists, then `tail` (0 or 1) whose last column is padding */
typedef struct {
    const int8_t *rows[3];
    int32_t steps[3];
    int8_t *y;
    int32_t y_step, n, tail, first;
    uint32_t padding;
    const int8_t *weights;
    const me_channel *channels;
    int32_t count, pre, low, high;
    const int8_t *zero;
    int32_t row_count, down;
} me_depthwise_halving;

void me_depthwise_row_2(const me_depthwise_halving *row);

/* The same of four channels and row_count >= 1 rows of results, whose rows are `down` bytes apart and no padding; limits
 * are those of int8, pre is 0, and there is no table. */
void me_depthwise_rows_2(const me_depthwise_halving *rows);

/* Any kernel: one pixel, `groups` times four channels, from channel `first` on; the last four start
 * at `last` where they would start after it.
 *   corner  an address
 *   taps    4 * blocks distances from it to channel 0 of the pixel of a tap */
typedef struct {
    const intptr_t *taps;
    int32_t blocks;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t first, groups, last, pre, low, high;
    const int8_t *zero;
    intptr_t corner;
} me_depthwise_any;

void me_depthwise_pixel(const me_depthwise_any *pixel);

#endif
