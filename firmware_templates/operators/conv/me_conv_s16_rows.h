/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_conv_s16.c. Two bodies: me_conv_s16_rows.S for GAP9's cores,
 * me_conv_s16_rows.c in C.
 */
#ifndef ME_CONV_S16_ROWS_H
#define ME_CONV_S16_ROWS_H

#include <stdint.h>

#include "me_scale.h"

/* Adds to four sums the products of `words` words of x, at least one, with packed weights: for every
 * word of x, two numbers, four words, one a sum. */
void me_four_sums_h(const int16_t *x, const int16_t *weights, int32_t words, int32_t *sum);

/* -> sum + the products of `taps` numbers, at least one, with one channel's weights: every fourth word, with a
 * zero behind an odd last tap. */
int32_t me_pixel_sum_h(const int16_t *x, const int16_t *weights, int32_t taps, int32_t sum);

/* The same as me_four_sums_h for four rows of x, x_stride bytes apart: four sums a row. */
void me_sixteen_sums_h(const int16_t *x, int32_t x_stride, const int16_t *weights, int32_t words,
                       int32_t *sum);

/* Results of up to four windows, `step` bytes apart, in up to four channels, of sums that are four a
 * window; wide: of int16, otherwise of int8. Without the table. */
void me_store_sums(const int32_t *sum, const me_channel *to, const me_scale *scale, int8_t *y,
                   int32_t windows, int32_t channels, int32_t step, int32_t wide);

/* n numbers, at least one, to another place; both aligned to 2. */
void me_copy_halves(const int16_t *x, int32_t n, int16_t *to);

/* The same of bytes, which become 16 bits. */
void me_widen_bytes(const int8_t *x, int32_t n, int16_t *to);

#endif
