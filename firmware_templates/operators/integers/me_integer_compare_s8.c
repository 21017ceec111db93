/* SPDX-License-Identifier: Apache-2.0 */
#include "me_integers.h"

#include "me_share.h"

ME_INLINE int32_t holds(int32_t function, int32_t a, int32_t b)
{
    switch (function) {
    case ME_INT_LT: return a < b;
    case ME_INT_LE: return a <= b;
    case ME_INT_GT: return a > b;
    case ME_INT_GE: return a >= b;
    case ME_INT_EQ: return a == b;
    default: return a != b;
    }
}

/* int32 operands and a comparison that is known here: no choice for each element. */
ME_INLINE void all_of(int32_t function, const me_integer_compare_s8_params *op, const int32_t *a,
                      const int32_t *b, int8_t *y, int32_t count)
{
    const int32_t b_step = op->b_step, yes = op->yes, no = op->no;
    for (; count > 0; count--, b += b_step)
        *y++ = (int8_t)(holds(function, *a++, *b) ? yes : no);
}

static void whole_numbers(const me_integer_compare_s8_params *op, const int32_t *a, const int32_t *b,
                          int8_t *y, int32_t n)
{
    switch (op->function) {
    case ME_INT_LT: all_of(ME_INT_LT, op, a, b, y, n); break;
    case ME_INT_LE: all_of(ME_INT_LE, op, a, b, y, n); break;
    case ME_INT_GT: all_of(ME_INT_GT, op, a, b, y, n); break;
    case ME_INT_GE: all_of(ME_INT_GE, op, a, b, y, n); break;
    case ME_INT_EQ: all_of(ME_INT_EQ, op, a, b, y, n); break;
    default: all_of(ME_INT_NE, op, a, b, y, n);
    }
}

void me_integer_compare_s8(const me_integer_compare_s8_params *params, const me_integer_compare_s8_tile *tile)
{
    const me_integer_compare_s8_params op = *params;
    const int32_t first = ME_FIRST(tile->n), count = ME_LAST(tile->n) - first;
    if (op.a_type == ME_INT32 && op.b_type == ME_INT32) {
        const int32_t *b = (const int32_t *)tile->b + first * op.b_step;
        whole_numbers(&op, (const int32_t *)tile->a + first, b, tile->y + first, count);
        return;
    }
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const int32_t a = me_integer_at(tile->a, i, op.a_type, op.a_zero);
        const int32_t b = me_integer_at(tile->b, i * op.b_step, op.b_type, op.b_zero);
        tile->y[i] = (int8_t)(holds(op.function, a, b) ? op.yes : op.no);
    }
}
