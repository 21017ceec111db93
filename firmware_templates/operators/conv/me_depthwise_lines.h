/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_depthwise_lines_s8.c. Two bodies: me_depthwise_lines.S for GAP9's cores, which
 * knows these offsets, and me_depthwise_lines.c in C.
 */
#ifndef ME_DEPTHWISE_LINES_H
#define ME_DEPTHWISE_LINES_H

#include <stdint.h>

#include "me_scale.h"

/* Positions become lines, four at a time: to[channel][position] = x[position][channel] of four channels; positions
 * are x_step bytes apart, lines line_bytes. Nothing else is written. fours >= 1 */
void me_depthwise_turn(const int8_t *x, int32_t x_step, int32_t fours, int8_t *to, int32_t line_bytes);

/* Results of one channel.
 * offsets   from x to each of `rows` rows of taps
 * weights   for every row, for every of `words` words of taps, four words: the taps, and moved by one to three bytes
 * n         results of a line: of me_depthwise_eights at least 8, of others a multiple of 4
 * x_step    bytes from what a result reads to what the next one does; 1 of me_depthwise_eights
 * lines, x_line, y_line   lines of me_depthwise_eights, bytes from one to the next; lines, x and y are changed
 * back, y_back   results, and bytes of y, by which the last eight begin before the end of the eight before
 * zero      the table's entry for 0, or 0 without a table */
typedef struct {
    const int8_t *x;
    const int32_t *offsets;
    const int8_t *weights;
    int32_t rows, words;
    int8_t *y;
    int32_t y_step, n, x_step, lines, x_line, y_line, back, y_back;
    const me_channel *channel;
    int32_t pre, low, high;
    const int8_t *zero;
} me_depthwise_run;

/* Four results at a time; eight, of limits of int8 without pre and table; eight. */
void me_depthwise_fours(const me_depthwise_run *run);
void me_depthwise_eights(me_depthwise_run *run);
void me_depthwise_eights_any(me_depthwise_run *run);

#endif
