/* SPDX-License-Identifier: Apache-2.0
 * Sums of products of rows with n elements in int32: of one row with another, or with 2 or 4 rows,
 * for which the first is loaded once. Literal n; rows at any address.
 */
#ifndef ME_DOT_H
#define ME_DOT_H

#include <stdint.h>

#include "me_intrinsics.h"

static inline int32_t me_dot_b(const int8_t *x, const int8_t *a, int32_t n)
{
    int32_t sum = 0;
    for (int32_t pairs = n >> 3; pairs > 0; pairs--) {
        const uint32_t x0 = me_next_w(&x), a0 = me_next_w(&a);
        const uint32_t x1 = me_next_w(&x), a1 = me_next_w(&a);
        sum = me_sdotsp_b(me_sdotsp_b(sum, x0, a0), x1, a1);
    }
    if (n & 4)
        sum = me_sdotsp_b(sum, me_next_w(&x), me_next_w(&a));
    for (int32_t left = n & 3; left > 0; left--)
        sum = me_mac(sum, me_next_b(&x), me_next_b(&a));
    return sum;
}

static inline void me_dot2_b(int32_t *sums, const int8_t *x, const int8_t *a, const int8_t *b, int32_t n)
{
    int32_t sum0 = 0, sum1 = 0;
    for (int32_t pairs = n >> 3; pairs > 0; pairs--) {
        const uint32_t x0 = me_next_w(&x), a0 = me_next_w(&a), b0 = me_next_w(&b);
        const uint32_t x1 = me_next_w(&x), a1 = me_next_w(&a), b1 = me_next_w(&b);
        sum0 = me_sdotsp_b(me_sdotsp_b(sum0, x0, a0), x1, a1);
        sum1 = me_sdotsp_b(me_sdotsp_b(sum1, x0, b0), x1, b1);
    }
    if (n & 4) {
        const uint32_t word = me_next_w(&x);
        sum0 = me_sdotsp_b(sum0, word, me_next_w(&a));
        sum1 = me_sdotsp_b(sum1, word, me_next_w(&b));
    }
    for (int32_t left = n & 3; left > 0; left--) {
        const int32_t value = me_next_b(&x);
        sum0 = me_mac(sum0, value, me_next_b(&a));
        sum1 = me_mac(sum1, value, me_next_b(&b));
    }
    sums[0] = sum0;
    sums[1] = sum1;
}

static inline void me_dot4_b(int32_t *sums, const int8_t *x, const int8_t *a, const int8_t *b, const int8_t *c,
                             const int8_t *d, int32_t n)
{
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (int32_t words = n >> 2; words > 0; words--) {
        const uint32_t word = me_next_w(&x), a0 = me_next_w(&a), b0 = me_next_w(&b);
        const uint32_t c0 = me_next_w(&c), d0 = me_next_w(&d);
        sum0 = me_sdotsp_b(sum0, word, a0);
        sum1 = me_sdotsp_b(sum1, word, b0);
        sum2 = me_sdotsp_b(sum2, word, c0);
        sum3 = me_sdotsp_b(sum3, word, d0);
    }
    for (int32_t left = n & 3; left > 0; left--) {
        const int32_t value = me_next_b(&x);
        sum0 = me_mac(sum0, value, me_next_b(&a));
        sum1 = me_mac(sum1, value, me_next_b(&b));
        sum2 = me_mac(sum2, value, me_next_b(&c));
        sum3 = me_mac(sum3, value, me_next_b(&d));
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

static inline int32_t me_dot_h(const int16_t *of_x, const int16_t *of_a, int32_t n)
{
    const int8_t *x = (const int8_t *)of_x, *a = (const int8_t *)of_a;
    int32_t sum = 0;
    for (int32_t pairs = n >> 2; pairs > 0; pairs--) {
        const uint32_t x0 = me_next_w(&x), a0 = me_next_w(&a);
        const uint32_t x1 = me_next_w(&x), a1 = me_next_w(&a);
        sum = me_sdotsp_h(me_sdotsp_h(sum, x0, a0), x1, a1);
    }
    if (n & 2)
        sum = me_sdotsp_h(sum, me_next_w(&x), me_next_w(&a));
    if (n & 1)
        sum = me_mac(sum, me_next_h(&x), me_next_h(&a));
    return sum;
}

#endif
