/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution of any kernel, pixel by pixel: where the taps of a window lie, then all its channels.
 */
#ifndef ME_DEPTHWISE_PIXELS_S8_H
#define ME_DEPTHWISE_PIXELS_S8_H

#include <stdint.h>

#include "me_gemm.h"

/* Work of one core.
 * scratch: of this core   zero: the table's entry for 0, or 0   groups: of four channels
 * blocks: of four taps of a window */
typedef struct {
    const me_conv_s8_params *op;
    const me_conv_s8_tile *tile;
    int8_t *scratch;
    const int8_t *zero;
    int32_t groups, blocks;
} me_depthwise_job;

/* This core's part of the pixels; at least four channels. scratch: two lists of 4 * blocks addresses, then a
 * byte for each channel. */
void me_depthwise_pixels_s8(const me_depthwise_job *job);

#endif
