/* SPDX-License-Identifier: Apache-2.0 */
#include "me_integers.h"

#include "me_share.h"

/* Of a quotient towards minus infinity; b > 0. */
static int32_t remainder_of(int32_t a, int32_t b)
{
    const int32_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

static int32_t calculated(int32_t function, int32_t a, int32_t b)
{
    switch (function) {
    case ME_INT_ADD:
        return (int32_t)((uint32_t)a + (uint32_t)b);
    case ME_INT_SUB:
        return (int32_t)((uint32_t)a - (uint32_t)b);
    case ME_INT_MUL:
        return (int32_t)((uint32_t)a * (uint32_t)b);
    case ME_INT_MIN:
        return a < b ? a : b;
    case ME_INT_MAX:
        return a > b ? a : b;
    case ME_INT_FLOOR_DIV:
        return a / b - (a % b < 0);
    default:
        return remainder_of(a, b);
    }
}

void me_integer_math_s32(const me_integer_math_s32_params *params, const me_integer_math_s32_tile *tile)
{
    const me_integer_math_s32_params op = *params;
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const int32_t a = me_integer_at(tile->a, i, op.a_type, op.a_zero);
        tile->y[i] = calculated(op.function, a, me_integer_at(tile->b, i * op.b_step, op.b_type, op.b_zero));
    }
}
