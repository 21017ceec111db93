/* SPDX-License-Identifier: Apache-2.0
 * The larger of two operands of 8 or 16 bits in L1. Cores 0 .. 7 call the kernel together; each computes its
 * share, and no barrier is inside.
 */
#ifndef ME_MAXIMUM_S16_H
#define ME_MAXIMUM_S16_H

#include "me_wide_pairs.h"

typedef me_wide_pairs_tile me_maximum_s16_tile;

/* *_wide, *_once as in me_mul_s16_params; scale.pre is not read. */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_mult, a_offset, a_shift, b_mult, b_offset, b_shift, a_once, b_once;
    me_scale scale;
} me_maximum_s16_params;

/* The larger of two tensors of int8 or int16 whose rows may be apart: int8 or int16
 * y = clip(max((a * a_mult + a_offset) >> a_shift, (b * b_mult + b_offset) >> b_shift)), then the table.
 * a_mult, b_mult int32 and at least 0, as large as leaves the sums inside int32; shifts 0 to 30. */
void me_maximum_s16(const me_maximum_s16_params *op, const me_maximum_s16_tile *tile);

#endif
