/* SPDX-License-Identifier: Apache-2.0
 * Convolution of each channel with a kernel of its own. As in me_gemm.h operands
 * lie in L1, cores 0 .. 7 call together and share the work, and no barrier is inside. Channels
 * last. Weights, channels and scratch are aligned to 4; x and y need not be, but it is faster.
 */
#ifndef ME_DEPTHWISE_CONV_S8_H
#define ME_DEPTHWISE_CONV_S8_H

#include <stdint.h>

#include "me_gemm.h"

typedef me_conv_s8_params me_depthwise_conv_s8_params;
typedef me_conv_s8_tile me_depthwise_conv_s8_tile;

/* Depthwise convolution of int8, channels last: every channel has a kernel of its own; formula and ranges are
 * those of me_conv_s8 (me_gemm.h). kernel_waits is not read. tile->k channels, those of x and of y; op->c does not count. Weights are packed
 * (operators/conv/depthwise.py): for every four channels, for every four taps, a word a channel; where
 * channels are not a multiple of 4, the last four overlap the ones before. Taps run over rows, columns;
 * those of 3 x 3 are a word a column. Fastest for 3 x 3 with stride 1, then 3 x 3 with a horizontal
 * stride of 2. tile->scratch: of eight cores, as operators/conv/depthwise.py computes it. */
void me_depthwise_conv_s8(const me_depthwise_conv_s8_params *op, const me_depthwise_conv_s8_tile *tile);

#endif
