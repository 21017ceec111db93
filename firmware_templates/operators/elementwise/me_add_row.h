/* SPDX-License-Identifier: Apache-2.0
 * Sums of two rows, used by me_add_s8 and by NE16 layers with a fused addition.
 */
#ifndef ME_ADD_ROW_H
#define ME_ADD_ROW_H

#include "me_elementwise.h"
#include "me_math.h"

/* A row kernel (me_broadcast.h) whose params are me_add_s8_params. */
void me_add_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n, int32_t a_step,
                int32_t b_step);

/* Row kernels for the values 8, 24 and 32 of `bits` in me_add_s8_params. */
static inline int32_t me_sum_bits(int32_t a_mult, int32_t b_mult, int32_t offset)
{
    const uint32_t mults = (uint32_t)me_abs(a_mult) + (uint32_t)me_abs(b_mult);
    if (me_extbs(a_mult) == a_mult && me_extbs(b_mult) == b_mult)
        return 8;
    return 128u * mults + (uint32_t)me_abs(offset) < 1u << 23 ? 24 : 32;
}

#endif
