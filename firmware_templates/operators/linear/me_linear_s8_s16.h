/* SPDX-License-Identifier: Apache-2.0
 * Linear layers with results of 16 bits, operands in L1: the gates of LSTM and GRU from their inputs.
 * All of cores 0 .. 7 call the kernel and share its rows and blocks; no barrier is inside.
 *
 * Weights are packed: for every four channels (the last filled with zeros), for every four columns a
 * word a channel; zeros fill the last word.
 */
#ifndef ME_LINEAR_S8_S16_H
#define ME_LINEAR_S8_S16_H

#include <stdint.h>

#include "me_scale.h"

/* c: bytes of a row; pre: shift of sums before they are requantised */
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

/* Linear layer with int16 results: y = x W^T + b in steps of 1/1024, int8 [rows][c] -> int16
 * [rows][k]. All sums stay in int32. */
void me_linear_s8_s16(const me_linear_s8_s16_params *op, const me_linear_s8_s16_tile *tile);

#endif
