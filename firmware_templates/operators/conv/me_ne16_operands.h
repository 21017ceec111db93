/* SPDX-License-Identifier: Apache-2.0
 * Operands of NE16's jobs in scratch: an input between its padding, or windows one behind the other, as
 * unsigned bytes. Cores 1 .. 7 share the work; no barrier is inside.
 */
#ifndef ME_NE16_OPERANDS_H
#define ME_NE16_OPERANDS_H

#include "me_gemm.h"

/* Rows first_row to before end_row, and likewise columns, of the input with its padding.
 * column_bytes: from a column of the input to the next   wide: the input has 16 bits, op->c counts bytes */
typedef struct {
    int32_t first_row, end_row, first_column, end_column, column_bytes, wide;
} me_ne16_area;

/* Writes an area of the padded input to its place in `image`, whose rows are row_bytes apart. */
void me_ne16_write_area(const me_conv_s8_params *op, const me_conv_s8_tile *tile, const me_ne16_area *area,
                        int32_t row_bytes, uint8_t *image);

/* Input with its padding; word: ME_TO_UNSIGNED, or 0 if bytes are unsigned already. */
typedef struct {
    const void *bytes;
    int32_t row_bytes;
    uint32_t word;
} me_ne16_image;

/* Writes windows of the padded input without an intermediate image: of results `first` to before `end`. */
void me_ne16_write_padded_windows(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t first,
                                  int32_t end, uint8_t *windows);

/* Writes the windows of results `first` to before `end`, of ow per row, to their places in `windows`. */
void me_ne16_write_windows(const me_conv_s8_params *op, const me_ne16_image *image, int32_t ow, int32_t first,
                           int32_t end, uint8_t *windows);

#endif
