/* SPDX-License-Identifier: Apache-2.0
 * The larger of two operands in L1, each in steps of the result.
 */
#ifndef ME_MAXIMUM_H
#define ME_MAXIMUM_H

#include "me_elementwise.h"

/* y = clip(max((a * a_mult + a_offset) >> a_shift, the same of b)), then the table; pre does not
 * count. */
typedef struct {
    int32_t a_mult, a_offset, a_shift, b_mult, b_offset, b_shift;
    me_scale scale;
} me_maximum_s8_params;

typedef me_binary_s8_tile me_maximum_s8_tile;

void me_maximum_s8(const me_maximum_s8_params *op, const me_maximum_s8_tile *tile);

#endif
