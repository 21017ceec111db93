/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_norm.h, for n >= 1 numbers or words. Two bodies: me_norm_rows.S for GAP9's cores,
 * me_norm_rows.c in C.
 */
#ifndef ME_NORM_ROWS_H
#define ME_NORM_ROWS_H

#include "me_math.h"
#include "me_norm.h"

typedef struct {
    int32_t total;
    uint32_t squares;
} me_moments;

/* Of words of four bytes: the sum of all bytes, and of their squares. */
void me_moments_b(const int8_t *x, int32_t words, me_moments *of);

/* Of n halves, each shifted right first. */
void me_moments_h(const int16_t *x, int32_t n, int32_t halvings, me_moments *of);

/* The largest of x and -1 - x. */
int32_t me_reach_h(const int16_t *x, int32_t n);

/* y = clip((((x >> halvings) * slope + start) >> line.shift) * gain + offset) >> shift) */
void me_norm_row_b(const int8_t *x, int8_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                   int32_t shift);
void me_norm_row_h(const int16_t *x, int8_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                   int32_t shift, int32_t halvings);

/* The same, y limited to 16 bits. */
void me_norm_row_b_s16(const int8_t *x, int16_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                       int32_t shift);
void me_norm_row_h_s16(const int16_t *x, int16_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                       int32_t shift, int32_t halvings);

#endif
