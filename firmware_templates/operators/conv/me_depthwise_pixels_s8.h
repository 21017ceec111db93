/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution with any kernel, pixel by pixel: lists the addresses of a window's taps, then
 * computes all its channels.
 */
#ifndef ME_DEPTHWISE_PIXELS_S8_H
#define ME_DEPTHWISE_PIXELS_S8_H

#include <stdint.h>

#include "me_gemm.h"

/* Work of one core.
 * scratch  this core's scratch
 * zero     the table's entry for 0; 0: no table
 * groups   number of groups of four channels
 * blocks   number of blocks of four taps in a window */
typedef struct {
    const me_conv_s8_params *op;
    const me_conv_s8_tile *tile;
    int8_t *scratch;
    const int8_t *zero;
    int32_t groups, blocks;
} me_depthwise_job;

/* Computes this core's share of the pixels, with at least four channels. scratch: two lists of 4 * blocks
 * addresses, then one byte per channel. */
void me_depthwise_pixels_s8(const me_depthwise_job *job);

#endif
