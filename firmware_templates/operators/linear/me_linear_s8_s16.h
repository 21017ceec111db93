/* SPDX-License-Identifier: Apache-2.0
 * Linear layer with int16 results, operands in L1: the contributions of the inputs to the gates of LSTM and
 * GRU. Cores 0 .. 7 call the kernel and share its rows and blocks; there is no barrier inside.
 *
 * Weights are packed: for each four channels (zeros fill the last group) and each four columns, one word
 * per channel; zeros fill the last word.
 */
#ifndef ME_LINEAR_S8_S16_H
#define ME_LINEAR_S8_S16_H

#include <stdint.h>

#include "me_scale.h"

/* c: bytes per row; pre: right shift of sums before they are requantised */
typedef struct {
    int32_t c, pre;
} me_linear_s8_s16_params;

typedef struct {
    const int8_t *x;
    int32_t rows;
    const int8_t *weights;
    const me_channel *channels;
    int16_t *y;
    int32_t k;
} me_linear_s8_s16_tile;

/* Linear layer, int8 [rows][c] -> int16 [rows][k]: acc = bias[k] + sum of x * W over c, W packed int8 [k][c],
 * y = clip16((((acc >> pre) * mult) + offset) >> shift).
 * c, k at least 1, rows >= 0; pre 0 to 20, mult 0 to 32,767, shift 0 to 30; acc inside int32. */
void me_linear_s8_s16(const me_linear_s8_s16_params *op, const me_linear_s8_s16_tile *tile);

#endif
