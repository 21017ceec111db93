/* SPDX-License-Identifier: Apache-2.0
 * Linear layer on NE16 and the sum of its results and another tensor. Cores 0 .. 7 call it together.
 */
#ifndef ME_NE16_LINEAR_ADD_S8_H
#define ME_NE16_LINEAR_ADD_S8_H

#include "me_ne16_linear_s8.h"
#include "me_ne16_sum.h"

/* add: a is the linear layer's result */
typedef struct {
    me_ne16_linear_s8_params linear;
    me_add_s16_params add;
} me_ne16_linear_add_s8_params;

/* linear: writes int8 results to linear.y, which is y, or scratch if y is int16; linear.y_stride is
 * linear.k
 * b, y: int8 or int16 [linear.rows][linear.k], as `add` specifies */
typedef struct {
    me_ne16_linear_s8_tile linear;
    const int8_t *b;
    int8_t *y;
    me_next_tile next;
} me_ne16_linear_add_s8_tile;

/* y = me_add_s16 of me_ne16_linear_s8's int8 results and b, int8 or int16 [rows][k], with the ranges of both. Barriers
 * are inside. */
void me_ne16_linear_add_s8_layer(const me_ne16_linear_add_s8_params *op,
                                 const me_ne16_linear_add_s8_tile *tile, me_ne16_layer *layer);

#endif
