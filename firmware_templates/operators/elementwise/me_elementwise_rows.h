/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_add_s8.c and others: four elements per iteration, at any address, fastest at
 * aligned ones; words >= 1. Implementations: me_elementwise_rows.S for GAP9's cores, me_elementwise_rows.c
 * in portable C.
 */
#ifndef ME_ELEMENTWISE_ROWS_H
#define ME_ELEMENTWISE_ROWS_H

#include "me_broadcast.h"

/* Compute `words` words without the table. a_step, b_step: 4, or 0 if every iteration reads the same word. */
void me_add_words(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                  int32_t a_step, int32_t b_step);
/* as me_add_words, for int8 multipliers (_8) and for sums that fit in 24 bits (_24), the usual cases */
void me_add_words_8(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                    int32_t a_step, int32_t b_step);
void me_add_words_24(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                     int32_t a_step, int32_t b_step);
void me_mul_words(const me_mul_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                  int32_t a_step, int32_t b_step);

/* the same for a block (me_broadcast.h); me_elementwise_rows.S knows its offsets */
me_word_loops_kernel me_add_word_loops, me_add_word_loops_8, me_add_word_loops_24, me_mul_word_loops;

/* computes n >= 1 sums of int8 or int16 values, limited to the range of y; me_elementwise_rows.S knows the
 * offsets of op */
void me_add_s16_row(const me_add_s16_params *op, const void *a, const void *b, void *y, int32_t n);

#endif
