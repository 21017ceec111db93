/* SPDX-License-Identifier: Apache-2.0
 * Windows of a convolution that cross an edge of the input: taps outside the input read the padding value.
 */
#ifndef ME_CONV_S8_PADDING_H
#define ME_CONV_S8_PADDING_H

#include "me_gemm_s8_windows.h"

/* Copies the window at (row, column) of a convolution; bytes outside x are x_zero. */
void me_copy_padded_window(const me_gemm_windows *windows, int32_t row, int32_t column, int8_t *to);

/* Copies this many rows and columns of x, including padding, to tile->padded. Called by all cores; ends
 * with a barrier. */
void me_copy_padded_rows(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t rows,
                         int32_t columns);

/* Determines which windows are inside x. */
void me_find_inside(me_gemm_windows *windows);

#endif
