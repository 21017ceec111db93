/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_softmax_s8.c and others, numbers `step` bytes apart, n >= 1 of them. Two bodies:
 * me_softmax_rows.S for GAP9's cores, me_softmax_rows.c in C.
 */
#ifndef ME_SOFTMAX_ROWS_H
#define ME_SOFTMAX_ROWS_H

#include "me_softmax.h"

/* Bytes before the first number of a row. */
static inline int32_t me_row_start(const me_softmax_s8_tile *tile, int32_t length, int32_t row)
{
    const int32_t outer = tile->inner == 1 ? row : row / tile->inner;
    return outer * length * tile->inner + row - outer * tile->inner;
}

int32_t me_row_max(const int8_t *x, int32_t n, int32_t step);

/* the sum of exp[most - x] */
uint32_t me_row_sum(const int8_t *x, int32_t n, int32_t step, const uint16_t *exp, int32_t most);

/* y = min((((exp[most - x] * inverse) >> 15) + (1 << (shift - 1))) >> shift, 255) - 128 */
void me_row_probabilities(const int8_t *x, int8_t *y, int32_t n, int32_t step, const uint16_t *exp,
                          int32_t most, uint32_t inverse, int32_t shift);

#endif
