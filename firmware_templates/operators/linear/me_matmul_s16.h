/* SPDX-License-Identifier: Apache-2.0
 * Matrix product of two activations in L1, in which operands or the result may be int16. Cores 0 .. 7 call
 * the kernel together: they copy the columns of b and share the results after one barrier.
 */
#ifndef ME_MATMUL_S16_H
#define ME_MATMUL_S16_H

#include <stdint.h>

#include "me_scale.h"

/* *_wide: int16, otherwise int8; a table is for results of int8 only
 * drop   right shift of the 64-bit sum before it is requantised */
typedef struct {
    int32_t c, a_wide, b_wide, y_wide, a_zero, b_zero, mult, offset, shift, b_transposed, drop;
    me_scale scale;
} me_matmul_s16_params;

/* a [m][c], b [c][n], or [n][c] if b_transposed, y [m][n]; row strides in elements
 * scratch   int16 [n + 8 cores][c, even], aligned to 4 */
typedef struct {
    const void *a, *b;
    int32_t m, n, a_stride, b_stride;
    void *y;
    int32_t y_stride;
    int16_t *scratch;
} me_matmul_s16_tile;

/* Matrix product of int8 or int16 to int8 or int16, as *_wide say: acc = (sum over c of (a[m][c] - a_zero) *
 * (b[c][n] - b_zero)) >> drop, int8 or int16 y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * The sum has 64 bits, factors minus their zero points 16, acc 31; c 1 to 131,072; pre 0 to 20, mult 0 to 32,767,
 * shift 0 to 30. */
void me_matmul_s16(const me_matmul_s16_params *op, const me_matmul_s16_tile *tile);

#endif
