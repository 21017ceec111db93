/* SPDX-License-Identifier: Apache-2.0
 * Sums of integers, modulo 2^32: positions that a network computes. Cores 0 .. 7 call a kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_INTEGERS_H
#define ME_INTEGERS_H

#include <stdint.h>

/* Types of operands: int8 truth values are 1 if they are not their zero point. */
enum { ME_TRUTH = 0, ME_UINT8 = 1, ME_INT32 = 4 };

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

/* Element i of an operand. */
static inline int32_t me_integer_at(const void *x, int32_t i, int32_t type, int32_t zero)
{
    if (type == ME_INT32)
        return ((const int32_t *)x)[i];
    return type == ME_UINT8 ? ((const uint8_t *)x)[i] : ((const int8_t *)x)[i] != zero;
}

#endif
