/* SPDX-License-Identifier: Apache-2.0
 * Convolution with a kernel of its own for every channel, whose products have 16 bits, on operands in L1.
 * All of cores 0 .. 7 call the kernel and share its work; a barrier between the copy of the input with its
 * padding and the sums is inside, and none at the end.
 *
 * Weights are int16, packed: for every two channels, for every tap, a word of both; zeros stand for a
 * channel that is not there. No sum leaves int32: the weights are chosen so.
 */
#ifndef ME_DEPTHWISE_CONV_S16_H
#define ME_DEPTHWISE_CONV_S16_H

#include <stdint.h>

#include "me_scale.h"

/* x_zero   the value of padding     x_wide, y_wide   x, y are int16, otherwise int8; a table is for int8 only */
typedef struct {
    int32_t k_h, k_w, stride_h, stride_w, dilation_h, dilation_w, x_zero, x_wide, y_wide;
    me_scale scale;
} me_depthwise_conv_s16_params;

/* x        h x w x k that exist, one after the other
 * pad_*    how far the first output's window starts above and left of x; what windows reach beyond
 *          x on any side is padding
 * weights  and channels, which are up to whole twos
 * y        oh x ow x k
 * scratch  rows x columns x me_depthwise_s16_pixel(k) of int16: what the windows reach over; aligned to 4 */
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

/* int16 from a pixel to the next: whole words; one more where pixels would begin in two banks of L1 only. */
static inline int32_t me_depthwise_s16_pixel(int32_t k)
{
    const int32_t even = (k + 1) & ~1;
    return even % 16 ? even : even + 2;
}

#endif
