/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_group_parts.h, for n >= 1 values at equal distances. Implementations:
 * me_group_rows.S for GAP9's cores, me_group_rows.c in portable C.
 */
#ifndef ME_GROUP_ROWS_H
#define ME_GROUP_ROWS_H

#include "me_norm_rows.h"
#include "me_rows.h"

/* Parameters that are equal for all values of a channel. step, y_step: bytes between values of x and of y. */
typedef struct {
    me_line line;
    int32_t gain, offset, shift, low, high, step, y_step;
} me_group_run;

/* Sums all bytes of `words` words, and their squares. */
void me_moments_words_b(const int8_t *x, int32_t words, me_moments *of);

/* A sum, and a sum of squares: high * 2^16 + low. */
typedef struct {
    int32_t total;
    uint32_t low, high;
} me_wide_moments;

/* Sums n <= 2**16 values, `step` bytes apart, and their squares. */
void me_moments_apart(const int8_t *x, int32_t n, int32_t step, me_moments *of);

/* Normalises n values: y = clip(((((x * slope + start) >> line.shift) * gain + offset) >> shift), low,
 * high); y is contiguous or y_step is unused. */
void me_normalise_run(const int8_t *x, int8_t *y, int32_t n, const me_group_run *run);

/* The same sums for halves: n <= 2**16 halves, `step` bytes apart; contiguous words of two halves. */
void me_moments_apart_h(const int16_t *x, int32_t n, int32_t step, me_wide_moments *of);
void me_moments_words_h(const int16_t *x, int32_t words, me_wide_moments *of);

/* As me_normalise_run for int8 to int16, int16 to int8, int16 to int16. */
void me_normalise_run_b_h(const int8_t *x, int16_t *y, int32_t n, const me_group_run *run);
void me_normalise_run_h_b(const int16_t *x, int8_t *y, int32_t n, const me_group_run *run);
void me_normalise_run_h_h(const int16_t *x, int16_t *y, int32_t n, const me_group_run *run);

#endif
