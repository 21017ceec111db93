/* SPDX-License-Identifier: Apache-2.0
 * Linear layers and convolutions on NE16 with sums of any number of products, or with operands, weights or results of
 * 16 bits, in one group, in L1: the engine adds up sums of 32 bits part by part, the cores requantise them. As in
 * me_ne16_jobs.h, cores 0 .. 7 call a layer together.
 */
#ifndef ME_NE16_SUMS_H
#define ME_NE16_SUMS_H

#include "me_ne16_jobs.h"

/* A run is a contiguous piece of a window: a row of taps, or a single tap if dilation_w is not 1. Its
 * inputs are divided into parts of at most 16 * part_groups bytes; the last part of a run may be
 * smaller.
 *
 * conv     c counts bytes; x_zero: zero point of x, which has 16 bits if x_wide
 * form     ME_NE16_1X1, or 0 for 3x3 filters of stride and dilation 1, whose run is the channels of a pixel
 * halves   2 if a weight is split as hi << weight_bits | lo, two signed values of weight_bits, 2 to 8, which are
 *          consecutive outputs of the engine; otherwise 1
 * x_wide, y_wide   x, y are int16, otherwise int8; a table is for int8 only */
typedef struct {
    me_conv_s8_params conv;
    uint32_t form;
    int32_t part_groups, weight_bits, x_wide, y_wide, halves;
} me_ne16_sums_params;

/* conv     strides count bytes. weights: bit planes of `parts` parts from first_part on; channels: biases minus (128
 *          or 32,768, the offset that makes x unsigned) times the sum of all weights, modulo 2^32; padded: the input
 *          with its padding, from the tile before if has_scratch
 * sums     int32 [oh][ow][halves * k]; of one row of results [3][run of a third][halves * k], unless there are
 *          filters; from the tile before unless first_part is 0
 * first_units, units_at_a_time   rows of results in the first job, in each of the others; pixels of a third of one row */
typedef struct {
    me_conv_s8_tile conv;
    int32_t *sums;
    int32_t first_part, parts, first_units, units_at_a_time, has_scratch;
    me_next_tile next;
} me_ne16_sums_tile;

/* Linear layer or convolution, int8 or int16 [h][w][c] -> [oh][ow][k], after the last part: acc = bias[k] + sum of x *
 * weights inside int32, though sums of the unsigned x wrap; y = clip((((acc >> pre) * mult) + offset) >> shift), then
 * the table; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. Barriers are inside. */
void me_ne16_sums_layer(const me_ne16_sums_params *op, const me_ne16_sums_tile *tile, me_ne16_layer *layer);

#endif
