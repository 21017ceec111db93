/* SPDX-License-Identifier: Apache-2.0
 * The matrix product of two activations of which some, or the result, have 16 bits; operands in L1. Cores
 * 0 .. 7 call together, with one barrier: they copy columns of b, then share the results.
 */
#ifndef ME_MATMUL_S16_H
#define ME_MATMUL_S16_H

#include <stdint.h>

#include "me_scale.h"

/* *_wide: int16, else int8; a table is for results of int8 alone
 * drop   bits that are shifted out of a sum before it is requantised */
typedef struct {
    int32_t c, a_wide, b_wide, y_wide, a_zero, b_zero, mult, offset, shift, b_transposed, drop;
    me_scale scale;
} me_matmul_s16_params;

/* a [m][c], b [c][n], or [n][c] where b_transposed, y [m][n]; strides of rows in numbers
 * scratch   int16 [n + 8 cores][c, even], aligned to 4 */
typedef struct {
    const void *a, *b;
    int32_t m, n, a_stride, b_stride;
    void *y;
    int32_t y_stride;
    int16_t *scratch;
} me_matmul_s16_tile;

/* y = clip(requantised((sum over c of (a - a_zero) * (b - b_zero)) >> drop)); the sum has 64 bits, either
 * factor 16. */
void me_matmul_s16(const me_matmul_s16_params *op, const me_matmul_s16_tile *tile);

#endif
