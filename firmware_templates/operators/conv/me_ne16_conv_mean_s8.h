/* SPDX-License-Identifier: Apache-2.0
 * Convolution on NE16 and the mean over each row of its results: cores 0 .. 7 take that of a job's rows
 * while the engine computes the next job. Cores 0 .. 7 call it together.
 */
#ifndef ME_NE16_CONV_MEAN_S8_H
#define ME_NE16_CONV_MEAN_S8_H

#include "me_ne16_conv_s8.h"
#include "me_reduce_s8.h"

/* mean.reduced: columns of results */
typedef struct {
    me_ne16_conv_s8_params conv;
    me_reduce_s8_params mean;
} me_ne16_conv_mean_s8_params;

/* conv: its jobs are of rows of results, int8 in conv.conv.y, which is scratch
 * y: int8 [conv.conv.oh][conv.conv.k] */
typedef struct {
    me_ne16_conv_s8_tile conv;
    int8_t *y;
    me_next_tile next;
} me_ne16_conv_mean_s8_tile;

/* int8 y[oh][k] = me_reduce_s8 of me_ne16_conv_s8's [oh][ow][k] over ow, with the ranges of both. Barriers are
 * inside. */
void me_ne16_conv_mean_s8_layer(const me_ne16_conv_mean_s8_params *op, const me_ne16_conv_mean_s8_tile *tile,
                                me_ne16_layer *layer);

#endif
