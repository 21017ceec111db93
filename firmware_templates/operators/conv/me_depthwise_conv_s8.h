/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution with int8 operands in L1, channels last. As in me_gemm.h, cores 0 .. 7 call the
 * kernel together and share the work; there is no barrier inside. Weights, channels and scratch are aligned
 * to 4; x and y may have any address, but aligned ones are faster.
 */
#ifndef ME_DEPTHWISE_CONV_S8_H
#define ME_DEPTHWISE_CONV_S8_H

#include <stdint.h>

#include "me_gemm.h"

typedef me_conv_s8_params me_depthwise_conv_s8_params;
typedef me_conv_s8_tile me_depthwise_conv_s8_tile;

/* Depthwise convolution, int8, channels last; formula and ranges are those of me_conv_s8 (me_gemm.h). x and
 * y have tile->k channels; op->c and kernel_waits are not read. operators/conv/depthwise.py packs the
 * weights: for each group of four channels and each four taps, one word per channel. If k is not a multiple
 * of 4, the last group overlaps the one before. Taps are in row-major order; in a 3 x 3 kernel, a word holds
 * a column. Fastest for 3 x 3 with stride 1, then for 3 x 3 with horizontal stride 2. tile->scratch is for
 * eight cores; operators/conv/depthwise.py computes its size. */
void me_depthwise_conv_s8(const me_depthwise_conv_s8_params *op, const me_depthwise_conv_s8_tile *tile);

#endif
