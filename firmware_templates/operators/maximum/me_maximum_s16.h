/* SPDX-License-Identifier: Apache-2.0
 * The larger of two operands of 8 or 16 bits in L1, each in steps of the result. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_MAXIMUM_S16_H
#define ME_MAXIMUM_S16_H

#include "me_mul_s16.h"

/* As me_mul_s16_params has it; y = clip(max((a * a_mult + a_offset) >> a_shift, the same of b)), then the
 * table; pre does not count. */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_mult, a_offset, a_shift, b_mult, b_offset, b_shift, a_once, b_once;
    me_scale scale;
} me_maximum_s16_params;

typedef me_mul_s16_tile me_maximum_s16_tile;

void me_maximum_s16(const me_maximum_s16_params *op, const me_maximum_s16_tile *tile);

#endif
