/* SPDX-License-Identifier: Apache-2.0
 * Convolution on NE16 with sums of any number of products, of int8 operands in L1, in one group: the engine adds up
 * sums of 32 bits part by part, the cores requantise them. Cores 0 .. 7 call it together: core 0 starts the
 * jobs, the others write the input with its padding to scratch as unsigned bytes before them.
 */
#ifndef ME_NE16_CONV_SUMS_S8_H
#define ME_NE16_CONV_SUMS_S8_H

#include "me_gemm.h"
#include "me_ne16_layer.h"

/* A run is a contiguous piece of a window: a row of taps, or a single tap if dilation_w is not 1. Its
 * inputs are divided into parts of at most 16 * part_groups bytes; the last part of a run may be
 * smaller.
 *
 * conv: narrow, in_place and together are unused; c counts bytes   weight_bits: of a weight, or of a half, 2 to 8
 * filter: 3x3 filters of stride and dilation 1, whose run is the channels of a pixel
 * x_wide, y_wide, halves: of me_ne16_conv_sums_s16.h; here 0, 0, 1 */
typedef struct {
    me_conv_s8_params conv;
    int32_t part_groups, weight_bits, filter, x_wide, y_wide, halves;
} me_ne16_conv_sums_s8_params;

/* conv: weights are bit planes of `parts` parts from first_part on, channels have biases minus 128 times the sum of
 *       all weights; scratch is unused; padded is the input with its padding, from the tile before if has_scratch
 * sums: int32 [oh][ow][halves * k], of one row of results [3][run of a third][halves * k] unless `filter`; from the tile before unless first_part is 0
 * first_units, units_at_a_time: rows of results in the first job, in each of the others; pixels of a third of one
 * row */
typedef struct {
    me_conv_s8_tile conv;
    int32_t *sums;
    int32_t first_part, parts, first_units, units_at_a_time, has_scratch;
    me_next_tile next;
} me_ne16_conv_sums_s8_tile;

/* The sums of a tile as rows of an image. A single row of results is divided into three rows, which start
 * `apart` results from each other and may overlap. */
typedef struct {
    int32_t rows, columns, apart;
} me_ne16_sums_image;

me_ne16_sums_image me_ne16_image_of_sums(const me_ne16_conv_sums_s8_params *op, const me_conv_s8_tile *tile);

/* Convolution, int8 [h][w][c] -> int8 [oh][ow][k], after the last part: acc = bias[k] + sum of (x +
 * 128) * weights, y = clip((((acc >> pre) * mult) + offset) >> shift), then the table. Weights of
 * weight_bits, 2 to 8; acc inside int32 for all inputs; pre 0 to 20, mult 0 to 32,767, shift 0 to 30.
 * Barriers are inside. */
void me_ne16_conv_sums_s8_layer(const me_ne16_conv_sums_s8_params *op, const me_ne16_conv_sums_s8_tile *tile,
                                me_ne16_layer *layer);

#endif
