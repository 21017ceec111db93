/* SPDX-License-Identifier: Apache-2.0
 * Convolution on NE16 and the mean over each row of its results: cores 0 .. 7 take that of a job's rows
 * while the engine computes the next job. Cores 0 .. 7 call it together.
 */
#ifndef ME_NE16_CONV_MEAN_S8_H
#define ME_NE16_CONV_MEAN_S8_H

#include "me_ne16_conv_s8.h"
#include "me_scale.h"

/* Requantisation of the sum of x - x_zero over `reduced` columns of results; each: one channel, whose
 * bias is not read */
typedef struct {
    int32_t reduced, x_zero;
    const me_channel *each;
    me_scale scale;
} me_row_mean;

typedef struct {
    me_ne16_conv_s8_params conv;
    me_row_mean mean;
} me_ne16_conv_mean_s8_params;

/* conv: its jobs have rows of results as units; int8 results go to conv.conv.y, which is scratch. y: int8
 * [conv.conv.oh][conv.conv.k] */
typedef struct {
    me_ne16_conv_s8_tile conv;
    int8_t *y;
    me_next_tile next;
} me_ne16_conv_mean_s8_tile;

/* int8 y[oh][k] = mean over ow of me_ne16_conv_s8's [oh][ow][k]: y = clip((((acc >> pre) * mult) + offset) >>
 * shift), then the table. Barriers are inside. */
void me_ne16_conv_mean_s8_layer(const me_ne16_conv_mean_s8_params *op, const me_ne16_conv_mean_s8_tile *tile,
                                me_ne16_layer *layer);

#endif
