/* SPDX-License-Identifier: Apache-2.0
 * Matrix products of activations on NE16, of int8 operands in L1. Cores 0 .. 7 call it together: they pack columns of b
 * into bit planes and requantise sums while the engine multiplies the rows of a by the columns before.
 */
#ifndef ME_NE16_MATMUL_S8_H
#define ME_NE16_MATMUL_S8_H

#include <stdint.h>

#include "me_scale.h"

/* c   a multiple of 4      b_transposed   b is given as [n][c]
 * mult, offset, shift      of all results */
typedef struct {
    int32_t c, a_zero, b_transposed, mult, offset, shift;
    me_scale scale;
} me_ne16_matmul_s8_params;

/* Products of a [batches][m][c] and b [batches][c][n]; a_step, b_step: bytes between batches of the
 * operand, 0 if all batches use the same; b_stride: bytes between rows of b; y [batches][m][n]
 * scratch   aligned to 4: a converted to unsigned; for each of two jobs of 32 columns the bit planes,
 *           with c rounded up to a multiple of 16 per column; 32 multipliers of one byte; for each of
 *           two jobs terms and sums of 4 bytes; unless b_transposed, four columns of b for each of 8
 *           cores */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t batches, m, n, a_step, b_step, b_stride;
    int8_t *scratch;
} me_ne16_matmul_s8_tile;

/* Matrix products of int8 activations: acc = sum over c of (a[m][c] - a_zero) * b[c][n], int8
 * y = clip((((acc >> pre) * mult) + offset) >> shift), then the table. acc inside int32; c, m, n, batches at least 1;
 * a_zero -128 to 127; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. Barriers are inside. */
void me_ne16_matmul_s8(const me_ne16_matmul_s8_params *op, const me_ne16_matmul_s8_tile *tile);

#endif
