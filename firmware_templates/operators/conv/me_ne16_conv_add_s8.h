/* SPDX-License-Identifier: Apache-2.0
 * Convolution on NE16 and the sum of its results and another tensor. Cores 0 .. 7 call it together.
 */
#ifndef ME_NE16_CONV_ADD_S8_H
#define ME_NE16_CONV_ADD_S8_H

#include "me_ne16_conv_s8.h"
#include "me_ne16_sum.h"

/* add: a is the convolution's result */
typedef struct {
    me_ne16_conv_s8_params conv;
    me_add_s16_params add;
} me_ne16_conv_add_s8_params;

/* conv: writes int8 results to conv.y, which is y, or scratch if y is int16; its y_stride is its k
 * b, y: int8 or int16 [oh][ow][k], as `add` specifies */
typedef struct {
    me_ne16_conv_s8_tile conv;
    const int8_t *b;
    int8_t *y;
    me_next_tile next;
} me_ne16_conv_add_s8_tile;

/* y = me_add_s16 of me_ne16_conv_s8's int8 results and b, int8 or int16 [oh][ow][k], with the ranges of both. Barriers
 * are inside. */
void me_ne16_conv_add_s8_layer(const me_ne16_conv_add_s8_params *op, const me_ne16_conv_add_s8_tile *tile,
                               me_ne16_layer *layer);

#endif
