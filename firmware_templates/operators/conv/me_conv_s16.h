/* SPDX-License-Identifier: Apache-2.0
 * Convolution with int16 operands in L1. Cores 0 .. 7 call the kernel and share its work. There is a
 * barrier between gathering and summing unless x is read in place, and none at the end.
 *
 * Weights are int16, packed: for each four channels and each two taps, one word per channel; zeros fill the
 * last word and the last four channels. The weights are quantised so that no sum exceeds int32.
 */
#ifndef ME_CONV_S16_H
#define ME_CONV_S16_H

#include <stdint.h>

#include "me_scale.h"

/* c        input channels         x_zero           value of the padding
 * x_wide, y_wide                  x, y are int16, otherwise int8; a table is for int8 only */
typedef struct {
    int32_t c, k_h, k_w, stride_h, stride_w, dilation_h, dilation_w, x_zero, x_wide, y_wide;
    me_scale scale;
} me_conv_s16_params;

/* x [h][w][c] without padding, row_stride bytes between rows
 * pad_*    rows and columns of padding above and left of x for the first output; windows beyond x on
 *          any side read padding
 * weights  and channels packed for k channels, up to whole fours
 * y        oh x ow x k
 * in_place 1: the one window is a pixel of int16 without padding, which is read from x, for at most
 *          ME_PIXEL_CHANNELS channels
 * scratch  me_conv_s16_row_bytes of all taps for each of the oh * ow windows; aligned to 4, like weights;
 *          unused with in_place */
#define ME_PIXEL_CHANNELS 32
typedef struct {
    const void *x;
    int32_t h, w, pad_top, pad_left, row_stride;
    const int16_t *weights;
    const me_channel *channels;
    void *y;
    int32_t oh, ow, k, in_place;
    int16_t *scratch;
} me_conv_s16_tile;

/* Convolution with int16 weights, channels last, of int8 or int16 [h][w][c] to int8 or int16 [oh][ow][k]:
 * acc = bias[k] + sum of x * weights, padding being x_zero, y = clip((((acc >> pre) * mult) + offset) >> shift),
 * then the table. acc inside int32; pre 0 to 20, mult 0 to 32,767, shift 0 to 30; extents at least 1. */
void me_conv_s16(const me_conv_s16_params *op, const me_conv_s16_tile *tile);

/* Bytes per gathered window: an odd number of words, so that consecutive windows start in different banks. */
static inline int32_t me_conv_s16_row_bytes(int32_t taps) { return 4 * ((taps + 1) / 2 | 1); }

#endif
