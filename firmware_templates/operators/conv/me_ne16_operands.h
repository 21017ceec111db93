/* SPDX-License-Identifier: Apache-2.0
 * Operands of NE16's jobs in scratch: an input between its padding, or windows one behind the other, as
 * unsigned bytes. Cores 1 .. 7 share the work; no barrier is inside.
 */
#ifndef ME_NE16_OPERANDS_H
#define ME_NE16_OPERANDS_H

#include "me_gemm.h"

/* Rows [first_row, end_row) and columns [first_column, end_column) of the input with its padding.
 * column_bytes  bytes between columns of the input
 * wide          the input is int16; op->c counts bytes */
typedef struct {
    int32_t first_row, end_row, first_column, end_column, column_bytes, wide;
} me_ne16_area;

/* Writes an area of the padded input to its place in `image`, whose rows are row_bytes apart. */
void me_ne16_write_area(const me_conv_s8_params *op, const me_conv_s8_tile *tile, const me_ne16_area *area,
                        int32_t row_bytes, uint8_t *image);

/* The input with its padding. word: ME_TO_UNSIGNED, or 0 if bytes are unsigned already. */
typedef struct {
    const void *bytes;
    int32_t row_bytes;
    uint32_t word;
} me_ne16_image;

/* Copies the windows of results [first, end) from the input with its padding, without an intermediate
 * image. */
void me_ne16_write_padded_windows(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t first,
                                  int32_t end, uint8_t *windows);

/* Writes the windows of results [first, end), ow per row of results, to their places in `windows`. */
void me_ne16_write_windows(const me_conv_s8_params *op, const me_ne16_image *image, int32_t ow, int32_t first,
                           int32_t end, uint8_t *windows);

#endif
