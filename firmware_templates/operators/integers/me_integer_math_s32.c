/* SPDX-License-Identifier: Apache-2.0 */
#include "me_integers.h"

#include "me_share.h"

/* Of a quotient towards minus infinity; b > 0. */
static int32_t remainder_of(int32_t a, int32_t b)
{
    const int32_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

ME_INLINE int32_t calculated(int32_t function, int32_t a, int32_t b)
{
    switch (function) {
    case ME_INT_ADD: return (int32_t)((uint32_t)a + (uint32_t)b);
    case ME_INT_SUB: return (int32_t)((uint32_t)a - (uint32_t)b);
    case ME_INT_MUL: return (int32_t)((uint32_t)a * (uint32_t)b);
    case ME_INT_MIN: return a < b ? a : b;
    case ME_INT_MAX: return a > b ? a : b;
    case ME_INT_FLOOR_DIV: return a / b - (a % b < 0);
    default: return remainder_of(a, b);
    }
}

/* int32 operands and a function that is known here: no choice for each element. */
ME_INLINE void all_of(int32_t function, const int32_t *a, const int32_t *b, int32_t b_step, int32_t *y,
                      int32_t count)
{
    for (; count > 0; count--, b += b_step)
        *y++ = calculated(function, *a++, *b);
}

static void whole_numbers(int32_t function, const int32_t *a, const int32_t *b, int32_t b_step, int32_t *y,
                          int32_t n)
{
    switch (function) {
    case ME_INT_ADD: all_of(ME_INT_ADD, a, b, b_step, y, n); break;
    case ME_INT_SUB: all_of(ME_INT_SUB, a, b, b_step, y, n); break;
    case ME_INT_MUL: all_of(ME_INT_MUL, a, b, b_step, y, n); break;
    case ME_INT_MIN: all_of(ME_INT_MIN, a, b, b_step, y, n); break;
    case ME_INT_MAX: all_of(ME_INT_MAX, a, b, b_step, y, n); break;
    default: all_of(function, a, b, b_step, y, n);
    }
}

void me_integer_math_s32(const me_integer_math_s32_params *params, const me_integer_math_s32_tile *tile)
{
    const me_integer_math_s32_params op = *params;
    const int32_t first = ME_FIRST(tile->n), count = ME_LAST(tile->n) - first;
    if (op.a_type == ME_INT32 && op.b_type == ME_INT32) {
        const int32_t *b = (const int32_t *)tile->b + first * op.b_step;
        whole_numbers(op.function, (const int32_t *)tile->a + first, b, op.b_step, tile->y + first, count);
        return;
    }
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const int32_t a = me_integer_at(tile->a, i, op.a_type, op.a_zero);
        tile->y[i] = calculated(op.function, a, me_integer_at(tile->b, i * op.b_step, op.b_type, op.b_zero));
    }
}
