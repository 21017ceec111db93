/* SPDX-License-Identifier: Apache-2.0
 * Grouped convolution, channels last. As in me_gemm.h, operands are in L1, cores 0 .. 7 call the kernel
 * together and share the work; there is no barrier inside.
 */
#ifndef ME_GROUP_CONV_S8_H
#define ME_GROUP_CONV_S8_H

#include <stdint.h>

#include "me_gemm.h"

/* c: input channels per group; a pixel of x has groups * c channels. The other fields are as in
 * me_conv_s8_params. */
typedef struct {
    int32_t c, k_h, k_w, stride_h, stride_w, dilation_h, dilation_w, x_zero;
    me_scale scale;
    int32_t groups;
} me_group_conv_s8_params;

typedef me_conv_s8_tile me_group_conv_s8_tile;

/* Grouped convolution of int8, channels last, slower than one me_conv_s8 per group, but without scratch:
 * tile->k output channels, k / groups per group. Weights: [k][k_h][k_w][c]; if c is less than 4,
 * [k][c][k_h][k_w]. groups 1 to k, a divisor of it; formula and ranges are those of me_conv_s8. */
void me_group_conv_s8(const me_group_conv_s8_params *op, const me_group_conv_s8_tile *tile);

#endif
