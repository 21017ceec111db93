/* SPDX-License-Identifier: Apache-2.0
 * Functions of integers, modulo 2^32: ids and positions that a network computes. Cores 0 .. 7 call a kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_INTEGERS_H
#define ME_INTEGERS_H

#include <stdint.h>

/* Types of operands: int8 truth values are 1 if they are not their zero point. */
enum { ME_TRUTH = 0, ME_UINT8 = 1, ME_INT32 = 4 };

/* floor_div and mod have a positive b. */
enum { ME_INT_ADD, ME_INT_SUB, ME_INT_MUL, ME_INT_MIN, ME_INT_MAX, ME_INT_FLOOR_DIV, ME_INT_MOD };
enum { ME_INT_LT, ME_INT_LE, ME_INT_GT, ME_INT_GE, ME_INT_EQ, ME_INT_NE };

/* b_step    0: b is one number for all
 * no, yes   of comparisons: 0.0 and 1.0 in steps of the result */
typedef struct {
    int32_t function, a_type, b_type, a_zero, b_zero, b_step, no, yes;
} me_integer_pairs_params;

/* a, b of their types [n], y of the kernel's [n] */
typedef struct {
    const void *a, *b;
    void *y;
    int32_t n;
} me_integer_pairs_tile;

typedef me_integer_pairs_params me_integer_math_s32_params, me_integer_compare_s8_params;
typedef me_integer_pairs_tile me_integer_math_s32_tile, me_integer_compare_s8_tile;

/* int32 y = function(a, b), ME_INT_ADD to ME_INT_MOD, of n >= 0 numbers of the types a_type and b_type. b_step 1,
 * or 0. ME_INT_FLOOR_DIV and ME_INT_MOD round down and have b >= 1; the others take any b. */
void me_integer_math_s32(const me_integer_math_s32_params *op, const me_integer_math_s32_tile *tile);

/* int8 y = yes if a and b are in the relation `function`, ME_INT_LT to ME_INT_NE, otherwise no; n >= 0 numbers of the
 * types a_type and b_type, b_step 1 or 0. yes, no -128 to 127. */
void me_integer_compare_s8(const me_integer_compare_s8_params *op, const me_integer_compare_s8_tile *tile);

/* Sums over n elements, `inner` apart. */
typedef struct {
    int32_t n, x_type, x_zero;
} me_integer_cumsum_s32_params;

/* x of its type [outer][n][inner], y int32
 * first   the sums before x [outer][inner]; none: zeros */
typedef struct {
    const void *x;
    int32_t *y;
    int32_t outer, inner;
    const int32_t *first;
} me_integer_cumsum_s32_tile;

/* int32 y[t] = first + the sum of x[i] for i <= t, of int32, uint8 or truth values; n >= 0. */
void me_integer_cumsum_s32(const me_integer_cumsum_s32_params *op, const me_integer_cumsum_s32_tile *tile);

#define ME_INLINE static inline __attribute__((always_inline))

/* Element i of an operand. */
static inline int32_t me_integer_at(const void *x, int32_t i, int32_t type, int32_t zero)
{
    if (type == ME_INT32)
        return ((const int32_t *)x)[i];
    return type == ME_UINT8 ? ((const uint8_t *)x)[i] : ((const int8_t *)x)[i] != zero;
}

#endif
