/* SPDX-License-Identifier: Apache-2.0
 * Linear layer of int16 with weights of at most 8 bits, operands in L1. Cores 0 .. 7 call the kernel and
 * share its work; a barrier follows the copies of x, none the results.
 *
 * Weights are packed as those of me_linear_s8_s16.h: for each four channels (zeros fill the last group) and
 * each four columns, one word per channel; zeros fill the last word.
 */
#ifndef ME_LINEAR_S16_H
#define ME_LINEAR_S16_H

#include <stdint.h>

#include "me_scale.h"

/* c: values per row; x_wide, y_wide: x, y are int16, otherwise int8; a table is for int8 only */
typedef struct {
    int32_t c, x_wide, y_wide;
    me_scale scale;
} me_linear_s16_params;

/* channels   packed for k channels, up to whole fours
 * scratch    me_linear_s16_row_bytes for each row; aligned to 4, like weights */
typedef struct {
    const void *x;
    int32_t rows;
    const int8_t *weights;
    const me_channel *channels;
    void *y;
    int32_t k;
    int8_t *scratch;
} me_linear_s16_tile;

/* Linear layer, int8 or int16 [rows][c] -> int8 or int16 [rows][k]: acc = bias[k] + sum of x * W over c, W packed
 * int8 [k][c], y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * rows, c, k at least 1; pre 0 to 20, mult 0 to 32,767, shift 0 to 30; acc inside int32. */
void me_linear_s16(const me_linear_s16_params *op, const me_linear_s16_tile *tile);

/* Bytes of a row's copy: two halves of an odd number of words, so that they start in different banks. */
static inline int32_t me_linear_s16_row_bytes(int32_t c) { return 8 * ((c + 3) / 4 | 1); }

#endif
