/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_linear_s16.c. Implementations: me_linear_s16_rows.S for GAP9's cores,
 * me_linear_s16_rows.c in portable C.
 *
 * A row's copy has two halves, `half` bytes each, which only these functions read. On GAP9 they are the high
 * bytes of its values, signed, and the low ones, unsigned, because four products of bytes take as long as two of
 * halfwords, and weights need not be unpacked: x * w = 256 * high * w + low * w.
 */
#ifndef ME_LINEAR_S16_ROWS_H
#define ME_LINEAR_S16_ROWS_H

#include <stdint.h>

#include "me_scale.h"

/* Copies words >= 1 words of four values, from word `at` of the row on; wide: x is int16, otherwise int8. */
void me_split_row(const void *x, int32_t wide, int32_t words, int8_t *row, int32_t half, int32_t at);

#define ME_SPLIT_SUMS 32 /* sums of a row that are stored at once */

/* The biases of blocks >= 1 blocks of four channels plus the products of words >= 1 words with packed weights, of
 * one row or of two, one behind the other -> sum [rows][ME_SPLIT_SUMS]. */
void me_split_sums(const int8_t *row, int32_t half, const int8_t *weights, int32_t words,
                   const me_channel *channels, int32_t *sum, int32_t blocks, int32_t rows);

/* -> sum + the products of one row with one channel's weights, every fourth word */
int32_t me_split_sum(const int8_t *row, int32_t half, const int8_t *weights, int32_t words, int32_t sum);

/* Requantises n >= 1 sums of a row and stores them, as int16 if wide, otherwise as int8 without the table. */
void me_split_store(const int32_t *sum, const me_channel *to, const me_scale *scale, int8_t *y, int32_t n,
                    int32_t wide);

#endif
