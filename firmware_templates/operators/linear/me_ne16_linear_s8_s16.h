/* SPDX-License-Identifier: Apache-2.0
 * Linear layer with results of 16 bits on NE16, of int8 operands in L1. Cores 0 .. 7 call it together:
 * core 0 starts jobs whose results are sums, all cores turn x into unsigned bytes before them, and
 * requantise the sums of the job before while the engine computes other rows.
 */
#ifndef ME_NE16_LINEAR_S8_S16_H
#define ME_NE16_LINEAR_S8_S16_H

#include <stdint.h>

#include "me_ne16_layer.h"
#include "me_scale.h"

/* c: inputs per row; pre: right shift of sums before they are requantised; weight_bits: bits per weight, 2
 * to 8 */
typedef struct {
    int32_t c, pre, weight_bits;
} me_ne16_linear_s8_s16_params;

/* x: rows of c bytes; y: rows of k results   rows_at_a_time: of a job
 * weights, channels: of these outputs; weights in bit planes, biases minus 128 times a row of weights
 * scratch: rows * c bytes up to whole words, after them the sums of two jobs
 * has_scratch: x is there already, unsigned, from the tile before
 * in_place: x becomes unsigned where it is, scratch begins with the sums; restores: it is int8 again after this
 * tile */
typedef struct {
    int8_t *x;
    int32_t rows, rows_at_a_time, k;
    const uint8_t *weights;
    const me_channel *channels;
    int16_t *y;
    uint8_t *scratch;
    int32_t has_scratch, in_place, restores;
    me_next_tile next;
} me_ne16_linear_s8_s16_tile;

/* Linear layer, int8 [rows][c] -> int16 [rows][k]: acc = sum of (x + 128) * weights + bias,
 * y = clip16((((acc >> pre) * mult) + offset) >> shift). Weights of weight_bits, 2 to 8; acc inside int32;
 * pre 0 to 20, mult 0 to 32,767, shift 0 to 30. Barriers are inside. */
void me_ne16_linear_s8_s16_layer(const me_ne16_linear_s8_s16_params *op,
                                 const me_ne16_linear_s8_s16_tile *tile, me_ne16_layer *layer);

#endif
