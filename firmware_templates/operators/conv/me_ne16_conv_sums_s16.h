/* SPDX-License-Identifier: Apache-2.0
 * Convolution on NE16 with operands, weights or results of 16 bits in L1, in one group: the jobs and the tiles of
 * me_ne16_conv_sums_s8.h, whose sums the cores requantise.
 */
#ifndef ME_NE16_CONV_SUMS_S16_H
#define ME_NE16_CONV_SUMS_S16_H

#include "me_ne16_conv_sums_s8.h"

/* x_wide, y_wide: x, y are int16, otherwise int8; a table is for int8 only   conv.c: bytes per pixel
 * halves: 2 if a weight is split as hi << weight_bits | lo, two signed weight_bits values, which are
 * consecutive outputs of the engine; otherwise 1 conv.x_zero: zero point of x. Biases include minus
 * (128 or 32,768, the offset that makes x unsigned) times the sum of all weights, modulo 2^32 The
 * tile's strides count bytes. */
typedef me_ne16_conv_sums_s8_params me_ne16_conv_sums_s16_params;
typedef me_ne16_conv_sums_s8_tile me_ne16_conv_sums_s16_tile;

/* Convolution, int8 or int16 [h][w][c] -> [oh][ow][k]: acc = bias[k] + sum of x * weights inside int32, though sums of
 * the unsigned x wrap; y = clip((((acc >> pre) * mult) + offset) >> shift), then the table; pre 0 to 20, mult 0 to
 * 32,767, shift 0 to 30. Barriers are inside. */
void me_ne16_conv_sums_s16_layer(const me_ne16_conv_sums_s16_params *op,
                                 const me_ne16_conv_sums_s16_tile *tile, me_ne16_layer *layer);

#endif
