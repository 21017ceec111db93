/* SPDX-License-Identifier: Apache-2.0
 * Functions of two integers: the body of me_integer_instances.def's kernels.
 */
#ifndef ME_INTEGER_PAIRS_H
#define ME_INTEGER_PAIRS_H

#include "me_integers.h"
#include "me_share.h"

ME_INLINE int32_t me_integer_holds(int32_t function, int32_t a, int32_t b)
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

/* Of a quotient towards minus infinity; b > 0. */
static inline int32_t me_integer_remainder(int32_t a, int32_t b)
{
    const int32_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

ME_INLINE int32_t me_integer_calculated(int32_t function, int32_t a, int32_t b)
{
    switch (function) {
    case ME_INT_ADD: return (int32_t)((uint32_t)a + (uint32_t)b);
    case ME_INT_SUB: return (int32_t)((uint32_t)a - (uint32_t)b);
    case ME_INT_MUL: return (int32_t)((uint32_t)a * (uint32_t)b);
    case ME_INT_MIN: return a < b ? a : b;
    case ME_INT_MAX: return a > b ? a : b;
    case ME_INT_FLOOR_DIV: return a / b - (a % b < 0);
    default: return me_integer_remainder(a, b);
    }
}

/* Result i of a and b; compares: whether the function is a comparison, a constant of the kernel */
ME_INLINE void me_integer_put(const me_integer_pairs_params *op, int32_t function, int32_t compares, void *y,
                              int32_t i, int32_t a, int32_t b)
{
    if (compares)
        ((int8_t *)y)[i] = (int8_t)(me_integer_holds(function, a, b) ? op->yes : op->no);
    else
        ((int32_t *)y)[i] = me_integer_calculated(function, a, b);
}

/* int32 operands and a function that is known here: no choice for each element. */
ME_INLINE void me_integer_all_of(int32_t function, const me_integer_pairs_params *params, int32_t compares,
                                 const int32_t *a, const int32_t *b, void *y, int32_t n)
{
    const me_integer_pairs_params op = *params;
    for (int32_t i = 0; i < n; i++, b += op.b_step)
        me_integer_put(&op, function, compares, y, i, a[i], *b);
}

/* Functions are counted from 0, and of comparisons there are six. */
ME_INLINE void me_integer_whole(const me_integer_pairs_params *op, int32_t compares, const int32_t *a,
                                const int32_t *b, void *y, int32_t n)
{
    switch (op->function) {
    case 0: me_integer_all_of(0, op, compares, a, b, y, n); break;
    case 1: me_integer_all_of(1, op, compares, a, b, y, n); break;
    case 2: me_integer_all_of(2, op, compares, a, b, y, n); break;
    case 3: me_integer_all_of(3, op, compares, a, b, y, n); break;
    case 4: me_integer_all_of(4, op, compares, a, b, y, n); break;
    default: me_integer_all_of(compares ? 5 : op->function, op, compares, a, b, y, n);
    }
}

ME_INLINE void me_integer_pairs(const me_integer_pairs_params *params, const me_integer_pairs_tile *tile,
                                int32_t compares)
{
    const me_integer_pairs_params op = *params;
    const int32_t first = ME_FIRST(tile->n), last = ME_LAST(tile->n);
    if (op.a_type == ME_INT32 && op.b_type == ME_INT32) {
        const int32_t *b = (const int32_t *)tile->b + first * op.b_step;
        int8_t *y = (int8_t *)tile->y + (compares ? first : 4 * first);
        me_integer_whole(&op, compares, (const int32_t *)tile->a + first, b, y, last - first);
        return;
    }
    for (int32_t i = first; i < last; i++) {
        const int32_t a = me_integer_at(tile->a, i, op.a_type, op.a_zero);
        const int32_t b = me_integer_at(tile->b, i * op.b_step, op.b_type, op.b_zero);
        me_integer_put(&op, op.function, compares, tile->y, i, a, b);
    }
}

#endif
