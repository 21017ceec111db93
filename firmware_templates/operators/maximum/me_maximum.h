/* SPDX-License-Identifier: Apache-2.0
 * The larger of two operands in L1, each in steps of the result. Cores 0 .. 7 call the kernel together; each
 * computes its share, and no barrier is inside.
 */
#ifndef ME_MAXIMUM_H
#define ME_MAXIMUM_H

#include "me_elementwise.h"

/* scale.pre is not read. */
typedef struct {
    int32_t a_mult, a_offset, a_shift, b_mult, b_offset, b_shift;
    me_scale scale;
} me_maximum_s8_params;

typedef me_binary_s8_tile me_maximum_s8_tile;

/* The larger of two int8 tensors that are broadcast: int8
 * y = clip(max((a * a_mult + a_offset) >> a_shift, (b * b_mult + b_offset) >> b_shift)), then the table.
 * a_mult, b_mult 0 to 32,767; shifts 0 to 30; the sums stay inside int32. Operands at any address. */
void me_maximum_s8(const me_maximum_s8_params *op, const me_maximum_s8_tile *tile);

#endif
