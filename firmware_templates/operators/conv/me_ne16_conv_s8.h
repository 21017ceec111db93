/* SPDX-License-Identifier: Apache-2.0
 * Convolution on NE16, of int8 operands in L1, in one group or depthwise. Cores 0 .. 7 call it together:
 * they write the input with its padding, or its windows, to scratch as unsigned bytes, those of a job
 * while the engine runs the job before, and core 0 starts the jobs.
 */
#ifndef ME_NE16_CONV_S8_H
#define ME_NE16_CONV_S8_H

#include "me_gemm.h"
#include "me_ne16_layer.h"

/* How a job reads scratch:
 *   ME_NE16_FILTER   3x3 filters over the padded input: stride and dilation 1
 *   ME_NE16_DEPTHWISE_FILTER a 3x3 filter for each channel of the padded input: depthwise, stride and dilation 1
 *   ME_NE16_PIXELS   the padded input, read as overlapping pixels of k_w * c channels: kernels of one
 *                    row, dilation_w 1
 *   ME_NE16_WINDOWS  windows that the cores copy to scratch: all other convolutions */
enum { ME_NE16_FILTER, ME_NE16_DEPTHWISE_FILTER, ME_NE16_PIXELS, ME_NE16_WINDOWS };

/* conv: scale.pre and all that belongs to scratch of me_conv_s8 is unused
 * copies_padding: windows are copied from a copy of the input with its padding
 * k: outputs of the whole layer; weight_bits: of a weight, 2 to 8; parameters: me_ne16_layer.h */
typedef struct {
    me_conv_s8_params conv;
    int32_t way, copies_padding, k, scale_bytes, weight_bits;
    const uint8_t *parameters;
} me_ne16_conv_s8_params;

/* conv: weights are bit planes of outputs first_k .. first_k + conv.k - 1; channels, scratch unused
 * first_units, units_at_a_time: rows of results in the first job, in each of the others; pixels where they are of
 *                  one row or windows are copied
 * ninth: eight windows are computed as nine, in scratch
 * x_column, y_row: of me_ne16_columns_s8.h
 * scratch: conv.padded; has_scratch: the tile before wrote it */
typedef struct {
    me_conv_s8_tile conv;
    int32_t first_k, first_units, units_at_a_time, ninth, x_column, y_row, has_scratch;
    me_next_tile next;
} me_ne16_conv_s8_tile;

/* Number of columns of a tile's padded input. */
int32_t me_ne16_columns_of(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile);

/* Prepares result rows [first, end) of ways that read an image: writes those rows of the padded input that
 * earlier results did not need, with columns of x column_bytes apart; sets up their job, with rows of y
 * unit_bytes apart. */
void me_ne16_prepare_image(const me_ne16_layer *layer, int32_t first, int32_t end, int32_t column_bytes);
void me_ne16_job_of_image(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job);

/* Convolution, int8 [h][w][c] -> [oh][ow][k]: y = clip8(((sum of (x + 128) * weights) * scale + bias) >> shift),
 * then the table. Weights of weight_bits, 2 to 8; scale 0 to 65,535 (0 to 255 of a byte), shift 0 to 30; products
 * and sums stay inside int32. Barriers are inside. */
void me_ne16_conv_s8_layer(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile,
                           me_ne16_layer *layer);

#endif
