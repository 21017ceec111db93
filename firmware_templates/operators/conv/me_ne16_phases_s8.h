/* SPDX-License-Identifier: Apache-2.0
 * Convolution on NE16 by jobs of 3x3 filters whose pixels step over positions of the input, also depthwise. The engine
 * moves from tap to tap as from result to result, so a job has every phases_w-th result of a row, and as many jobs
 * have all of them. A row of results lies as rows of three: the nine taps of a filter follow each other.
 */
#ifndef ME_NE16_PHASES_S8_H
#define ME_NE16_PHASES_S8_H

#include "me_ne16_conv_s8.h"

/* conv.way: ME_NE16_PIXELS for one row of results: up to nine taps dilation_w = phases_w * stride_w apart, or,
 *           where dilation_w is 1, up to 9 * phases_w * stride_w; otherwise 3x3 filters of any dilation, stride 1
 * conv.weights: planes of filters of 3x3; taps after the last are 0
 * phases_h, phases_w: distance between the results of one job; inputs: channels per pixel; depthwise: 0
 * or 1 */
typedef struct {
    me_ne16_conv_s8_params conv;
    int32_t phases_h, phases_w, inputs, depthwise;
} me_ne16_phases_s8_params;

/* first_units: the others are multiples of 3 * phases_w results of a row
 * scratch: what taps of 0 read after the last window */
typedef me_ne16_conv_s8_tile me_ne16_phases_s8_tile;

/* int8 [h][w][c] -> [oh][ow][k], with the formula and ranges of me_ne16_conv_s8. Cores 0 .. 7 call it together;
 * barriers are inside. */
void me_ne16_phases_s8_layer(const me_ne16_phases_s8_params *op, const me_ne16_phases_s8_tile *tile,
                             me_ne16_layer *layer);

#endif
