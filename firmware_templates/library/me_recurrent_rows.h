/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_recurrent.c. Two bodies: me_recurrent_rows.S for GAP9's cores,
 * me_recurrent_rows.c in C.
 */
#ifndef ME_RECURRENT_ROWS_H
#define ME_RECURRENT_ROWS_H

#include <stdint.h>

#include "me_scale.h"

/* Adds to four sums the products of `words` words of x, at least one, with packed weights: for every
 * word of x four, one a sum. */
void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum);

/* Four channels of four rows, as me_gates has them: `words` words of each row, x_stride bytes apart;
 * y_stride bytes between rows of y. me_recurrent_rows.S knows these offsets. */
typedef struct {
    const int8_t *x;
    int32_t x_stride;
    const int8_t *weights;
    int32_t words;
    const me_channel *channels;
    int32_t pre;
    int16_t *y;
    int32_t y_stride;
} me_gates_block;

void me_gates_4x4(const me_gates_block *block);

#endif
