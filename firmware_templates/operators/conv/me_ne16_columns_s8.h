/* SPDX-License-Identifier: Apache-2.0
 * Convolution down columns on NE16: me_ne16_conv_s8 of the input whose columns are rows of the image.
 */
#ifndef ME_NE16_COLUMNS_S8_H
#define ME_NE16_COLUMNS_S8_H

#include "me_ne16_conv_s8.h"

typedef me_ne16_conv_s8_params me_ne16_columns_s8_params;

/* conv: h, w, oh, ow and pads describe the image, whose rows are columns of the convolution. row_stride:
 * bytes between columns of x; y_stride: bytes between rows of y; x_column: bytes between rows of x; y_row:
 * bytes between columns of y */
typedef me_ne16_conv_s8_tile me_ne16_columns_s8_tile;

/* The way of the jobs is ME_NE16_PIXELS. Formula and ranges are those of me_ne16_conv_s8; barriers are
 * inside. */
void me_ne16_columns_s8_layer(const me_ne16_columns_s8_params *op, const me_ne16_columns_s8_tile *tile,
                              me_ne16_layer *layer);

#endif
