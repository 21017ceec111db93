/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_depthwise_conv_s8.c, for four channels at once. Implementations:
 * me_depthwise_rows.S for GAP9's cores, which knows these offsets, and me_depthwise_rows.c in portable C.
 * zero: the table's entry for 0, or 0 without a table.
 */
#ifndef ME_DEPTHWISE_ROWS_H
#define ME_DEPTHWISE_ROWS_H

#include "me_depthwise_conv_s8.h"

/* Interleaves two rows a and b of n pixels, a_step and b_step bytes apart: for each of the first four
 * channels, the two bytes of a pixel form a half. Halves are 4 bytes apart, channels channel_bytes. */
void me_depthwise_pairs(const int8_t *a, const int8_t *b, int32_t a_step, int32_t b_step, int8_t *to,
                        int32_t channel_bytes, int32_t n);

/* 3 x 3, stride 1: two rows of results of four channels. A vector is a word with one column of the four
 * input rows, from the top; if `turn` is 16, rows 2 and 3 come first.
 *   vectors  3 * thirds + rest + 2 vectors per channel
 *   weights  for each of the three columns, one word per channel: three rows, then 0 */
typedef struct {
    const int8_t *vectors;
    int32_t channel_bytes;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *upper, *lower;
    int32_t y_step, thirds, rest, turn, pre, low, high;
    const int8_t *zero;
} me_depthwise_two;

/* Variants: int8 limits and pre 0; any limits and pre 0; any limits and pre; any limits and pre with a
 * table. */
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

/* As me_depthwise_row_2 for four channels and row_count >= 1 rows of results, `down` bytes apart, without
 * padded rows, with int8 limits, pre 0 and no table. */
void me_depthwise_rows_2(const me_depthwise_halving *rows);

/* Any kernel: one pixel, `groups` groups of four channels from channel `first` on. The last group
 * starts at channel `last` at most, and may overlap the one before.
 *   corner  base address
 *   taps    4 * blocks byte offsets from corner to channel 0 of each tap's pixel */
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
