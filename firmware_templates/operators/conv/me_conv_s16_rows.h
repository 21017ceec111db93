/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_conv_s16.c. Implementations: me_conv_s16_rows.S for GAP9's cores,
 * me_conv_s16_rows.c in portable C.
 */
#ifndef ME_CONV_S16_ROWS_H
#define ME_CONV_S16_ROWS_H

#include <stdint.h>

#include "me_scale.h"

/* Adds to four sums the products of words >= 1 words of x with packed weights: for every word of x (two
 * values), one word of weights per sum. */
void me_four_sums_h(const int16_t *x, const int16_t *weights, int32_t words, int32_t *sum);

/* -> sum + the products of taps >= 1 values with one channel's weights: every fourth word, padded with a
 * zero after an odd last tap. */
int32_t me_pixel_sum_h(const int16_t *x, const int16_t *weights, int32_t taps, int32_t sum);

/* As me_four_sums_h for four rows of x, x_stride bytes apart, with four sums per row. */
void me_sixteen_sums_h(const int16_t *x, int32_t x_stride, const int16_t *weights, int32_t words,
                       int32_t *sum);

/* Requantises and stores results of up to four windows, `step` bytes apart, in up to four channels; sums
 * are [window][4]. wide: int16 results, otherwise int8. The table is not applied. */
void me_store_sums(const int32_t *sum, const me_channel *to, const me_scale *scale, int8_t *y,
                   int32_t windows, int32_t channels, int32_t step, int32_t wide);

/* Copies n >= 1 int16 values; both addresses are multiples of 2. */
void me_copy_halves(const int16_t *x, int32_t n, int16_t *to);

/* Converts n >= 1 int8 values to int16. */
void me_widen_bytes(const int8_t *x, int32_t n, int16_t *to);

#endif
