/* SPDX-License-Identifier: Apache-2.0
 * Softmax of rows of whole numbers in L1. Cores 0 .. 7 call together, each takes its part of the rows.
 */
#ifndef ME_WHOLE_SOFTMAX_H
#define ME_WHOLE_SOFTMAX_H

#include <stdint.h>

/* x, y  int8 [rows][length] */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t rows;
} me_whole_softmax_s8_tile;

typedef me_whole_softmax_s8_tile me_shift_softmax_s8_tile;

/* exp  256 numbers by the distance from the row's largest; times `most`, and their sum, below 2**32 */
typedef struct {
    int32_t length, most;
    const uint32_t *exp;
} me_whole_softmax_s8_params;

/* y = exp[largest - x] * most / sum - 128, rounded down */
void me_whole_softmax_s8(const me_whole_softmax_s8_params *op, const me_whole_softmax_s8_tile *tile);

/* group  numbers that the sum takes at a time: a divisor of length */
typedef struct {
    int32_t length, most, group;
} me_shift_softmax_s8_params;

/* y = (256 * most / sum >> h) - 128, h the halvings: (largest - x + 16) >> 5; the sum is of 256 >> h */
void me_shift_softmax_s8(const me_shift_softmax_s8_params *op, const me_shift_softmax_s8_tile *tile);

#endif
