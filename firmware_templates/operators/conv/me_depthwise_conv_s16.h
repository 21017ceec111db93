/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution with int16 operands in L1. Cores 0 .. 7 call the kernel and share its work. There
 * is a barrier between copying the input with its padding and summing, and none at the end.
 *
 * Weights are int16, packed: for each two channels and each tap, one word of both; zeros fill the last word
 * of an odd number of channels. The weights are quantised so that no sum exceeds int32.
 */
#ifndef ME_DEPTHWISE_CONV_S16_H
#define ME_DEPTHWISE_CONV_S16_H

#include <stdint.h>

#include "me_scale.h"

/* x_zero   value of the padding     x_wide, y_wide   x, y are int16, otherwise int8; a table is for
 *          int8 only */
typedef struct {
    int32_t k_h, k_w, stride_h, stride_w, dilation_h, dilation_w, x_zero, x_wide, y_wide;
    me_scale scale;
} me_depthwise_conv_s16_params;

/* x [h][w][k] without padding, contiguous
 * pad_*    rows and columns of padding above and left of x for the first output; windows beyond x on
 *          any side read padding
 * weights and channels, padded to an even number
 * y        oh x ow x k
 * scratch  int16 [rows][columns][me_depthwise_s16_pixel(k)], the padded input that the windows span;
 *          aligned to 4 */
typedef struct {
    const void *x;
    int32_t h, w, pad_top, pad_left;
    const int16_t *weights;
    const me_channel *channels;
    void *y;
    int32_t oh, ow, k;
    int16_t *scratch;
} me_depthwise_conv_s16_tile;

/* Depthwise convolution with int16 weights, channels last, of int8 or int16 [h][w][k] to int8 or int16
 * [oh][ow][k]: acc = bias[k] + sum of x * weights over the window of channel k, padding being x_zero,
 * y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * acc inside int32; pre 0 to 20, mult 0 to 32,767, shift 0 to 30; extents at least 1. */
void me_depthwise_conv_s16(const me_depthwise_conv_s16_params *op, const me_depthwise_conv_s16_tile *tile);

/* int16 values per pixel of the padded copy: whole words, plus one word if pixels would otherwise start in
 * only two banks of L1. */
static inline int32_t me_depthwise_s16_pixel(int32_t k)
{
    const int32_t even = (k + 1) & ~1;
    return even % 16 ? even : even + 2;
}

#endif
