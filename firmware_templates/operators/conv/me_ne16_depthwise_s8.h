/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution on NE16 and the cores at once: while the engine computes the first units of a tile, the cores
 * compute the others. Cores 0 .. 7 call it together.
 */
#ifndef ME_NE16_DEPTHWISE_S8_H
#define ME_NE16_DEPTHWISE_S8_H

#include "me_depthwise_conv_s8.h"
#include "me_ne16_phases_s8.h"

/* jobs: parameters for the engine. The cores also read jobs.conv.conv, whose scale is as
 * me_depthwise_conv_s8 requires. */
typedef struct {
    me_ne16_phases_s8_params jobs;
} me_ne16_depthwise_s8_params;

/* jobs: the whole tile, except units and scratch, which describe the engine's part
 * units: rows of results, or results of one row, that the engine computes: 1 or more
 * weights, channels, scratch: for me_depthwise_conv_s8, which computes the other units */
typedef struct {
    me_ne16_phases_s8_tile jobs;
    int32_t units;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *scratch;
} me_ne16_depthwise_s8_tile;

/* int8 [h][w][c] -> [oh][ow][c], with the formula and ranges of me_ne16_conv_s8, which give the integers of
 * me_depthwise_conv_s8. Barriers are inside. */
void me_ne16_depthwise_s8_layer(const me_ne16_depthwise_s8_params *op, const me_ne16_depthwise_s8_tile *tile,
                                me_ne16_layer *layer);

#endif
