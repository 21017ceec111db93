/* SPDX-License-Identifier: Apache-2.0
 * Operands of NE16's jobs in scratch, as unsigned bytes: an input with its padding, or windows one after the other.
 * Cores 1 .. 7 share the work.
 */
#ifndef ME_NE16_ARRANGE_H
#define ME_NE16_ARRANGE_H

#include "me_gemm.h"

/* Rows [first_row, end_row) and columns [first_column, end_column) of the input with its padding.
 * column_bytes  bytes between columns of the input
 * wide          the input is int16; op->c counts bytes */
typedef struct {
    int32_t first_row, end_row, first_column, end_column, column_bytes, wide;
} me_ne16_area;

/* Number of columns of a tile's padded input. */
static inline int32_t me_ne16_padded_columns(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    return me_conv_span(tile->ow, op->k_w, op->stride_w, op->dilation_w);
}

/* Writes an area of the padded input to its place in `image`, whose rows are row_bytes apart. No barrier is
 * inside. */
void me_ne16_write_area(const me_conv_s8_params *op, const me_conv_s8_tile *tile, const me_ne16_area *area,
                        int32_t row_bytes, uint8_t *image);

#endif
