/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution with any kernel, stride, dilation and number of outputs per input channel. As in
 * me_gemm.h, operands are in L1, cores 0 .. 7 call the kernel together and share the work; there is no
 * barrier inside.
 */
#ifndef ME_DEPTHWISE_LINES_S8_H
#define ME_DEPTHWISE_LINES_S8_H

#include "me_gemm.h"

/* Each core transposes the input of a block of results into lines, one channel per line, and multiplies
 * words of them. Positions of a line that are equal modulo `phases`, the least common multiple of stride
 * and dilation, are contiguous: so are the inputs of results that are phases / stride apart, and taps that
 * are phases / dilation apart.
 * conv        c, narrow, in_place and together are not used
 * multiplier  outputs per input channel
 * turned      lines run along columns instead of rows */
typedef struct {
    me_conv_s8_params conv;
    int32_t multiplier, turned, phases;
} me_depthwise_lines_s8_params;

/* conv            k output channels, k / multiplier input channels (those of x); padded and kernel_waits
 *                 are not used
 * weights         for each output, each row of taps across lines and each group of taps that are
 *                 contiguous in a line: for each word of taps, padded with three zeros, the word itself
 *                 and moved by one, two and three bytes
 * block_lines, block_along  results of a block across lines and along them
 * scratch         me_depthwise_lines_scratch_bytes, for eight cores */
typedef struct {
    me_conv_s8_tile conv;
    int32_t block_lines, block_along;
} me_depthwise_lines_s8_tile;

/* Convolution, int8 [h][w][k / multiplier] -> [oh][ow][k]: each output has its own kernel on input channel
 * output / multiplier; formula and ranges are those of me_conv_s8. Extents are at least 1. */
void me_depthwise_lines_s8(const me_depthwise_lines_s8_params *op, const me_depthwise_lines_s8_tile *tile);

#endif
