/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution of one row on NE16: up to nine taps for each channel, stride and dilation 1. A job's filters
 * are of 3x3 over rows that begin three pixels behind each other, of which each has three results.
 */
#ifndef ME_NE16_DEPTHWISE_ROW_S8_H
#define ME_NE16_DEPTHWISE_ROW_S8_H

#include "me_ne16_conv_s8.h"

/* way: ME_NE16_PIXELS; weights: planes of filters of 3x3, taps behind the last are 0
 * first_units: the others are whole threes
 * ninth: one or two results are computed as three, in scratch
 * scratch: eight pixels behind the first of the last result, which taps of 0 read */
typedef me_ne16_conv_s8_params me_ne16_depthwise_row_s8_params;
typedef me_ne16_conv_s8_tile me_ne16_depthwise_row_s8_tile;

/* Depthwise convolution of one int8 row, [w][k] -> [ow][k], with the formula and ranges of me_ne16_conv_s8; k_w 1 to
 * 9, strides and dilations 1. Cores 0 .. 7 call it together; barriers are inside. */
void me_ne16_depthwise_row_s8(const me_ne16_depthwise_row_s8_params *op,
                              const me_ne16_depthwise_row_s8_tile *tile);

#endif
