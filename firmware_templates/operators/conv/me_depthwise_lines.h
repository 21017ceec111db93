/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_depthwise_lines_s8.c. Implementations: me_depthwise_lines.S for GAP9's cores,
 * which knows these offsets, and me_depthwise_lines.c in portable C.
 */
#ifndef ME_DEPTHWISE_LINES_H
#define ME_DEPTHWISE_LINES_H

#include <stdint.h>

#include "me_scale.h"

/* Transposes four channels of 4 * fours positions, fours >= 1, into lines: to[channel][position] =
 * x[position][channel]. Positions are x_step bytes apart, lines line_bytes. Writes nothing else. */
void me_depthwise_transpose(const int8_t *x, int32_t x_step, int32_t fours, int8_t *to, int32_t line_bytes);

/* Parameters of the results of one channel.
 * offsets   from x to each of `rows` rows of taps
 * weights   [rows][words][4] words: four taps, and the same taps moved by one, two and three bytes
 * n         results per line: for me_depthwise_eights at least 8, otherwise a multiple of 4
 * x_step    byte stride of x between results; 1 for me_depthwise_eights
 * lines, x_line, y_line   for me_depthwise_eights: number of lines, and byte strides between lines; the
 *                         kernel changes lines, x and y
 * back, y_back   results, and bytes of y, by which the last group of eight overlaps the one before
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

/* Compute four results per iteration; eight, for limits of int8 without pre and table; eight, for any
 * limits. */
void me_depthwise_fours(const me_depthwise_run *run);
void me_depthwise_eights(me_depthwise_run *run);
void me_depthwise_eights_any(me_depthwise_run *run);

#endif
