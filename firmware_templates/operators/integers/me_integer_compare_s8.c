/* SPDX-License-Identifier: Apache-2.0 */
#include "me_integers.h"

#include "me_share.h"

static int32_t holds(int32_t function, int32_t a, int32_t b)
{
    switch (function) {
    case ME_INT_LT:
        return a < b;
    case ME_INT_LE:
        return a <= b;
    case ME_INT_GT:
        return a > b;
    case ME_INT_GE:
        return a >= b;
    case ME_INT_EQ:
        return a == b;
    default:
        return a != b;
    }
}

void me_integer_compare_s8(const me_integer_compare_s8_params *params, const me_integer_compare_s8_tile *tile)
{
    const me_integer_compare_s8_params op = *params;
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const int32_t a = me_integer_at(tile->a, i, op.a_type, op.a_zero);
        const int32_t b = me_integer_at(tile->b, i * op.b_step, op.b_type, op.b_zero);
        tile->y[i] = (int8_t)(holds(op.function, a, b) ? op.yes : op.no);
    }
}
