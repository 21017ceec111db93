/* SPDX-License-Identifier: Apache-2.0
 * Sums, maxima and minima of the n elements of a row, in int32. n >= 1 is a literal; rows may have any
 * address.
 *
 *   me_total_b(x, n), me_total_h       the sum, for int8, int16, modulo 2**32
 *   me_squares_b, me_squares_h         the sum of squares, modulo 2**32
 *   me_total_shifted_h(x, bits, n), me_squares_shifted_h   the same for x >> bits
 *   me_moments_b, _h, me_moments_shifted_h   sum and sum of squares as a struct
 *   me_extremes_b, _h                  maximum and minimum as a struct
 *   me_most_b, me_most_h               the maximum
 *   me_least_b, me_least_h             the minimum
 *   me_argmax_b, me_argmax_h           index of the first maximum
 */
#ifndef ME_ROWS_H
#define ME_ROWS_H

#include <stdint.h>

#include "me_intrinsics.h"

/* Sums over a row: whole words, four per iteration, then the remaining elements. OF_WORD and OF_ONE
 * convert a word or an element; WORD_FACTOR and ONE_FACTOR are their multipliers. */
#define ME_SUM(FUNCTION, KIND, PER_WORD, OF_WORD, OF_ONE, WORD_FACTOR, ONE_FACTOR) \
    static inline int32_t FUNCTION \
    { \
        const int8_t *x = (const int8_t *)of_x; \
        int32_t sum = 0; \
        for (int32_t fours = n / (4 * PER_WORD); fours > 0; fours--) { \
            const uint32_t a = OF_WORD(me_next_w(&x)), b = OF_WORD(me_next_w(&x)); \
            const uint32_t c = OF_WORD(me_next_w(&x)), d = OF_WORD(me_next_w(&x)); \
            sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, a, WORD_FACTOR(a)), b, WORD_FACTOR(b)); \
            sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, c, WORD_FACTOR(c)), d, WORD_FACTOR(d)); \
        } \
        for (int32_t words = n / PER_WORD % 4; words > 0; words--) { \
            const uint32_t a = OF_WORD(me_next_w(&x)); \
            sum = me_sdotsp_##KIND(sum, a, WORD_FACTOR(a)); \
        } \
        for (int32_t left = n % PER_WORD; left > 0; left--) { \
            const int32_t a = OF_ONE(me_next_##KIND(&x)); \
            sum = me_mac(sum, a, ONE_FACTOR(a)); \
        } \
        return sum; \
    }

#define ME_SAME(a) (a)
#define ME_ONE_OF(a) 1
#define ME_ONES_b(a) 0x01010101u
#define ME_ONES_h(a) 0x00010001u
ME_SUM(me_total_b(const int8_t *of_x, int32_t n), b, 4, ME_SAME, ME_SAME, ME_ONES_b, ME_ONE_OF)
ME_SUM(me_total_h(const int16_t *of_x, int32_t n), h, 2, ME_SAME, ME_SAME, ME_ONES_h, ME_ONE_OF)
ME_SUM(me_squares_b(const int8_t *of_x, int32_t n), b, 4, ME_SAME, ME_SAME, ME_SAME, ME_SAME)
ME_SUM(me_squares_h(const int16_t *of_x, int32_t n), h, 2, ME_SAME, ME_SAME, ME_SAME, ME_SAME)

/* The same for elements that are first shifted right. */
#define ME_SHIFTED(word) me_sra_h((word), (uint32_t)bits * 0x00010001u)
#define ME_SHIFTED_ONE(a) ((a) >> bits)
ME_SUM(me_total_shifted_h(const int16_t *of_x, int32_t bits, int32_t n), h, 2, ME_SHIFTED, ME_SHIFTED_ONE,
       ME_ONES_h, ME_ONE_OF)
ME_SUM(me_squares_shifted_h(const int16_t *of_x, int32_t bits, int32_t n), h, 2, ME_SHIFTED, ME_SHIFTED_ONE,
       ME_SAME, ME_SAME)

typedef struct {
    int32_t total, squares;
} me_moments;

#define ME_MOMENTS(FUNCTION, KIND, PER_WORD, OF_WORD, OF_ONE, ONES) \
    static inline me_moments FUNCTION \
    { \
        const int8_t *x = (const int8_t *)of_x; \
        int32_t sum = 0, squares = 0; \
        for (int32_t fours = n / (4 * PER_WORD); fours > 0; fours--) { \
            const uint32_t a = OF_WORD(me_next_w(&x)), b = OF_WORD(me_next_w(&x)); \
            const uint32_t c = OF_WORD(me_next_w(&x)), d = OF_WORD(me_next_w(&x)); \
            sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, a, ONES), b, ONES); \
            squares = me_sdotsp_##KIND(me_sdotsp_##KIND(squares, a, a), b, b); \
            sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, c, ONES), d, ONES); \
            squares = me_sdotsp_##KIND(me_sdotsp_##KIND(squares, c, c), d, d); \
        } \
        for (int32_t words = n / PER_WORD % 4; words > 0; words--) { \
            const uint32_t a = OF_WORD(me_next_w(&x)); \
            sum = me_sdotsp_##KIND(sum, a, ONES); \
            squares = me_sdotsp_##KIND(squares, a, a); \
        } \
        for (int32_t left = n % PER_WORD; left > 0; left--) { \
            const int32_t a = OF_ONE(me_next_##KIND(&x)); \
            sum += a; \
            squares = me_mac(squares, a, a); \
        } \
        return (me_moments){ sum, squares }; \
    }

ME_MOMENTS(me_moments_b(const int8_t *of_x, int32_t n), b, 4, ME_SAME, ME_SAME, 0x01010101u)
ME_MOMENTS(me_moments_h(const int16_t *of_x, int32_t n), h, 2, ME_SAME, ME_SAME, 0x00010001u)
ME_MOMENTS(me_moments_shifted_h(const int16_t *of_x, int32_t bits, int32_t n), h, 2, ME_SHIFTED,
           ME_SHIFTED_ONE, 0x00010001u)

/* The largest or smallest of a word's elements and of a known value. */
#define ME_OF_WORD_b(OF, known, word) \
    OF(OF(OF(known, (int8_t)(word)), OF((int8_t)((word) >> 8), (int8_t)((word) >> 16))), \
       (int8_t)((word) >> 24))
#define ME_OF_WORD_h(OF, known, word) OF(OF(known, (int16_t)(word)), (int16_t)((word) >> 16))

#define ME_EXTREME(NAME, OF, KIND, TYPE, PER_WORD) \
    static inline int32_t NAME##_##KIND(const TYPE *of_x, int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x; \
        int32_t found = of_x[0]; \
        if (n >= 2 * PER_WORD) { \
            uint32_t most = me_next_w(&x); \
            for (int32_t fours = (n / PER_WORD - 1) / 4; fours > 0; fours--) { \
                const uint32_t a = me_next_w(&x), b = me_next_w(&x), c = me_next_w(&x), d = me_next_w(&x); \
                most = OF##_##KIND(OF##_##KIND(OF##_##KIND(OF##_##KIND(most, a), b), c), d); \
            } \
            for (int32_t words = (n / PER_WORD - 1) % 4; words > 0; words--) { \
                const uint32_t a = me_next_w(&x); \
                most = OF##_##KIND(most, a); \
            } \
            found = ME_OF_WORD_##KIND(OF, found, most); \
        } \
        for (int32_t left = n >= 2 * PER_WORD ? n % PER_WORD : n; left > 0; left--) { \
            const int32_t a = me_next_##KIND(&x); \
            found = OF(found, a); \
        } \
        return found; \
    }

ME_EXTREME(me_most, me_max, b, int8_t, 4)
ME_EXTREME(me_most, me_max, h, int16_t, 2)
ME_EXTREME(me_least, me_min, b, int8_t, 4)
ME_EXTREME(me_least, me_min, h, int16_t, 2)

#define ME_ARGMAX(KIND, TYPE) \
    static inline int32_t me_argmax_##KIND(const TYPE *x, int32_t n) \
    { \
        const int32_t most = me_most_##KIND(x, n); \
        int32_t at = 0; \
        while (x[at] != most) \
            at++; \
        return at; \
    }

ME_ARGMAX(b, int8_t)
ME_ARGMAX(h, int16_t)

typedef struct {
    int32_t most, least;
} me_extremes;

#define ME_EXTREMES(KIND, TYPE, PER_WORD) \
    static inline me_extremes me_extremes_##KIND(const TYPE *of_x, int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x; \
        int32_t high = of_x[0], low = of_x[0]; \
        if (n >= 2 * PER_WORD) { \
            uint32_t most = me_next_w(&x), least = most; \
            for (int32_t fours = (n / PER_WORD - 1) / 4; fours > 0; fours--) { \
                const uint32_t a = me_next_w(&x), b = me_next_w(&x), c = me_next_w(&x), d = me_next_w(&x); \
                most = me_max_##KIND(me_max_##KIND(me_max_##KIND(me_max_##KIND(most, a), b), c), d); \
                least = me_min_##KIND(me_min_##KIND(me_min_##KIND(me_min_##KIND(least, a), b), c), d); \
            } \
            for (int32_t words = (n / PER_WORD - 1) % 4; words > 0; words--) { \
                const uint32_t a = me_next_w(&x); \
                most = me_max_##KIND(most, a); \
                least = me_min_##KIND(least, a); \
            } \
            high = ME_OF_WORD_##KIND(me_max, high, most); \
            low = ME_OF_WORD_##KIND(me_min, low, least); \
        } \
        for (int32_t left = n >= 2 * PER_WORD ? n % PER_WORD : n; left > 0; left--) { \
            const int32_t a = me_next_##KIND(&x); \
            high = me_max(high, a); \
            low = me_min(low, a); \
        } \
        return (me_extremes){ high, low }; \
    }

ME_EXTREMES(b, int8_t, 4)
ME_EXTREMES(h, int16_t, 2)

#endif
