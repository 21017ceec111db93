/* SPDX-License-Identifier: Apache-2.0
 * Linear layer on NE16, of int8 operands in L1. Cores 0 .. 7 call it together: core 0 starts the jobs,
 * all cores turn x into unsigned bytes before them, and look results up in a table behind them, while
 * the engine computes other rows.
 */
#ifndef ME_NE16_LINEAR_S8_H
#define ME_NE16_LINEAR_S8_H

#include <stdint.h>

#include "me_ne16_layer.h"

/* c: inputs, k: outputs of the whole layer; scale_bytes: 1, 2 or 4; weight_bits: of a weight, 2 to 8
 * parameters: k biases of 4 bytes, k scales, k shifts of a byte (me_ne16.h)
 * table: 256 entries, the first for -128, or 0 */
typedef struct {
    int32_t c, k, scale_bytes, weight_bits;
    const uint8_t *parameters;
    const int8_t *table;
} me_ne16_linear_s8_params;

/* x: rows of c bytes; y: rows of k bytes, y_stride apart, outputs [first_k, first_k + k) of the layer;
 * with a table y_stride is k
 * weights: of these outputs, in bit planes   rows_at_a_time: of a job
 * ninth: eight rows are computed as nine, in scratch
 * scratch: rows * c bytes, for nine 9 * c up to words and 9 * k of the whole layer; has_scratch: x is there already, unsigned, from the tile before
 * in_place: x becomes unsigned where it is, not in scratch; restores: and is int8 again in the end; c is a multiple of 4 */
typedef struct {
    const int8_t *x;
    int32_t rows, rows_at_a_time, first_k, k, y_stride;
    const uint8_t *weights;
    int8_t *y;
    uint8_t *scratch;
    int32_t ninth, has_scratch, in_place, restores;
    me_next_tile next;
} me_ne16_linear_s8_tile;

/* Linear layer, int8 [rows][c] -> [rows][k]: y = clip8(((sum of (x + 128) * weights) * scale + bias) >> shift), then
 * the table. Weights of weight_bits, 2 to 8; scale 0 to 65,535 (0 to 255 of a byte), shift 0 to 30; products and
 * sums stay inside int32. Barriers are inside. */
void me_ne16_linear_s8_layer(const me_ne16_linear_s8_params *op, const me_ne16_linear_s8_tile *tile,
                             me_ne16_layer *layer);

#endif
