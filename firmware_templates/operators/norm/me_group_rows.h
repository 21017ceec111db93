/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_group_parts.h, of n >= 1 numbers at equal
 * distances. Two bodies: me_group_rows.S for GAP9's cores, me_group_rows.c in C.
 */
#ifndef ME_GROUP_ROWS_H
#define ME_GROUP_ROWS_H

#include "me_norm_rows.h"
#include "me_rows.h"

/* What the numbers of a channel have in common; step, y_step: bytes from one to the next, of x and of y. */
typedef struct {
    me_line line;
    int32_t gain, offset, shift, low, high, step, y_step;
} me_group_run;

/* Of words of four bytes: the sum of all bytes, and of their squares. */
void me_moments_words_b(const int8_t *x, int32_t words, me_moments *of);

/* A sum, and the sum of squares: high << 16 + low. */
typedef struct {
    int32_t total;
    uint32_t low, high;
} me_wide_moments;

/* The sum of n <= 2**16 numbers, and of their squares. */
void me_moments_apart(const int8_t *x, int32_t n, int32_t step, me_moments *of);

/* y = clip(((x * slope + start) >> line.shift) * gain + offset) >> shift, low, high); y_step is not read */
void me_normalise_run(const int8_t *x, int8_t *y, int32_t n, const me_group_run *run);

/* Of n <= 2**16 halves, step bytes apart; of words of two halves one after the other. */
void me_moments_apart_h(const int16_t *x, int32_t n, int32_t step, me_wide_moments *of);
void me_moments_words_h(const int16_t *x, int32_t words, me_wide_moments *of);

/* me_normalise_run of bytes to halves, of halves to bytes, of halves to halves. */
void me_normalise_run_b_h(const int8_t *x, int16_t *y, int32_t n, const me_group_run *run);
void me_normalise_run_h_b(const int16_t *x, int8_t *y, int32_t n, const me_group_run *run);
void me_normalise_run_h_h(const int16_t *x, int16_t *y, int32_t n, const me_group_run *run);

#endif
