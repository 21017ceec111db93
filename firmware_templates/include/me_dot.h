/* SPDX-License-Identifier: Apache-2.0
 * Sums of products of rows with n elements in int32: of one row with another, or with 2 or 4 rows,
 * for which the first is loaded once. Literal n; rows at any address.
 *
 *   me_sum_b(x, n), me_sum_h                the sum of a row itself, for int8, int16
 *   me_dot_b(x, a, n), me_dot_h             the sum for int8, int16
 *   me_dot2_b(sums, x, a, b, n), me_dot2_h  two sums
 *   me_dot4_b(sums, x, a, b, c, d, n), me_dot4_h
 */
#ifndef ME_DOT_H
#define ME_DOT_H

#include <stdint.h>

#include "me_intrinsics.h"

/* A word of x and of the other rows; of more than eight words two at a time, as fetching the code takes longer
 * than the ends of the iterations that it saves. */
#define ME_DOT_WORDS2(KIND) \
    do { \
        const uint32_t word = me_next_w(&x), a0 = me_next_w(&a), b0 = me_next_w(&b); \
        sum0 = me_sdotsp_##KIND(sum0, word, a0); \
        sum1 = me_sdotsp_##KIND(sum1, word, b0); \
    } while (0)
#define ME_DOT_WORDS4(KIND) \
    do { \
        const uint32_t word = me_next_w(&x), a0 = me_next_w(&a), b0 = me_next_w(&b); \
        const uint32_t c0 = me_next_w(&c), d0 = me_next_w(&d); \
        sum0 = me_sdotsp_##KIND(sum0, word, a0); \
        sum1 = me_sdotsp_##KIND(sum1, word, b0); \
        sum2 = me_sdotsp_##KIND(sum2, word, c0); \
        sum3 = me_sdotsp_##KIND(sum3, word, d0); \
    } while (0)

/* A word of x and of another row, then what is left behind whole words: of PER_WORD elements each. */
#define ME_DOTS(KIND, TYPE, PER_WORD, ONES) \
    static inline int32_t me_sum_##KIND(const TYPE *of_x, int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x; \
        int32_t sum = 0; \
        for (int32_t pairs = n / (2 * PER_WORD); pairs > 0; pairs--) { \
            const uint32_t x0 = me_next_w(&x), x1 = me_next_w(&x); \
            sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, x0, ONES), x1, ONES); \
        } \
        if (n & PER_WORD) \
            sum = me_sdotsp_##KIND(sum, me_next_w(&x), ONES); \
        for (int32_t left = n % PER_WORD; left > 0; left--) \
            sum += me_next_##KIND(&x); \
        return sum; \
    } \
\
    static inline int32_t me_dot_##KIND(const TYPE *of_x, const TYPE *of_a, int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x, *a = (const int8_t *)of_a; \
        int32_t sum = 0; \
        for (int32_t pairs = n / (2 * PER_WORD); pairs > 0; pairs--) { \
            const uint32_t x0 = me_next_w(&x), a0 = me_next_w(&a); \
            const uint32_t x1 = me_next_w(&x), a1 = me_next_w(&a); \
            sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, x0, a0), x1, a1); \
        } \
        if (n & PER_WORD) \
            sum = me_sdotsp_##KIND(sum, me_next_w(&x), me_next_w(&a)); \
        for (int32_t left = n % PER_WORD; left > 0; left--) \
            sum = me_mac(sum, me_next_##KIND(&x), me_next_##KIND(&a)); \
        return sum; \
    } \
\
    static inline void me_dot2_##KIND(int32_t *sums, const TYPE *of_x, const TYPE *of_a, const TYPE *of_b, \
                                      int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x, *a = (const int8_t *)of_a, *b = (const int8_t *)of_b; \
        int32_t sum0 = 0, sum1 = 0; \
        const int32_t words = n / PER_WORD, pairs = words > 8 ? words / 2 : 0; \
        for (int32_t left = pairs; left > 0; left--) { \
            ME_DOT_WORDS2(KIND); \
            ME_DOT_WORDS2(KIND); \
        } \
        for (int32_t left = words - 2 * pairs; left > 0; left--) \
            ME_DOT_WORDS2(KIND); \
        for (int32_t left = n % PER_WORD; left > 0; left--) { \
            const int32_t value = me_next_##KIND(&x); \
            sum0 = me_mac(sum0, value, me_next_##KIND(&a)); \
            sum1 = me_mac(sum1, value, me_next_##KIND(&b)); \
        } \
        sums[0] = sum0; \
        sums[1] = sum1; \
    } \
\
    static inline void me_dot4_##KIND(int32_t *sums, const TYPE *of_x, const TYPE *of_a, const TYPE *of_b, \
                                      const TYPE *of_c, const TYPE *of_d, int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x, *a = (const int8_t *)of_a, *b = (const int8_t *)of_b; \
        const int8_t *c = (const int8_t *)of_c, *d = (const int8_t *)of_d; \
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0; \
        const int32_t words = n / PER_WORD, pairs = words > 8 ? words / 2 : 0; \
        for (int32_t left = pairs; left > 0; left--) { \
            ME_DOT_WORDS4(KIND); \
            ME_DOT_WORDS4(KIND); \
        } \
        for (int32_t left = words - 2 * pairs; left > 0; left--) \
            ME_DOT_WORDS4(KIND); \
        for (int32_t left = n % PER_WORD; left > 0; left--) { \
            const int32_t value = me_next_##KIND(&x); \
            sum0 = me_mac(sum0, value, me_next_##KIND(&a)); \
            sum1 = me_mac(sum1, value, me_next_##KIND(&b)); \
            sum2 = me_mac(sum2, value, me_next_##KIND(&c)); \
            sum3 = me_mac(sum3, value, me_next_##KIND(&d)); \
        } \
        sums[0] = sum0; \
        sums[1] = sum1; \
        sums[2] = sum2; \
        sums[3] = sum3; \
    }

ME_DOTS(b, int8_t, 4, 0x01010101u)
ME_DOTS(h, int16_t, 2, 0x00010001u)

#endif
