/* SPDX-License-Identifier: Apache-2.0
 * int32 sums of products of rows with n elements: of one row with another, or with 2, 4 or 8 rows; the
 * first row is then loaded only once. n is a literal; rows may have any address.
 *
 *   me_sum_b(x, n), me_sum_h                the sum of a row's elements, for int8, int16
 *   me_dot_b(x, a, n), me_dot_h             the dot product, for int8, int16
 *   me_dot2_b(sums, x, a, b, n), me_dot2_h  two dot products
 *   me_dot4_b(sums, x, a, b, c, d, n), me_dot4_h
 *   me_dot8_b(sums, x, a, n), me_dot8_h     eight dot products, of the rows at a, a + n, ..; a row has at
 *                                           most ME_DOT8_BYTES bytes
 */
#ifndef ME_DOT_H
#define ME_DOT_H

#include <stdint.h>

#include "me_intrinsics.h"
#include "me_share.h"

#define ME_SUM_PAIRS_PLAIN(KIND, COUNT, ONES) \
    for (int32_t left = COUNT; left > 0; left--) { \
        const uint32_t x0 = me_next_w(&x), x1 = me_next_w(&x); \
        sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, x0, ONES), x1, ONES); \
    }
#define ME_DOT_PAIRS_PLAIN(KIND, COUNT) \
    for (int32_t left = COUNT; left > 0; left--) { \
        const uint32_t x0 = me_next_w(&x), a0 = me_next_w(&a); \
        const uint32_t x1 = me_next_w(&x), a1 = me_next_w(&a); \
        sum = me_sdotsp_##KIND(me_sdotsp_##KIND(sum, x0, a0), x1, a1); \
    }
#define ME_DOT2_WORDS_PLAIN(KIND, COUNT) \
    for (int32_t left = COUNT; left > 0; left--) { \
        const uint32_t word = me_next_w(&x), a0 = me_next_w(&a), b0 = me_next_w(&b); \
        sum0 = me_sdotsp_##KIND(sum0, word, a0); \
        sum1 = me_sdotsp_##KIND(sum1, word, b0); \
    }
#define ME_DOT4_WORDS_PLAIN(KIND, COUNT) \
    for (int32_t left = COUNT; left > 0; left--) { \
        const uint32_t word = me_next_w(&x), a0 = me_next_w(&a), b0 = me_next_w(&b); \
        const uint32_t c0 = me_next_w(&c), d0 = me_next_w(&d); \
        sum0 = me_sdotsp_##KIND(sum0, word, a0); \
        sum1 = me_sdotsp_##KIND(sum1, word, b0); \
        sum2 = me_sdotsp_##KIND(sum2, word, c0); \
        sum3 = me_sdotsp_##KIND(sum3, word, d0); \
    }
#define ME_DOT8_WORDS_PLAIN(KIND, COUNT, BYTES) \
    for (int32_t left = COUNT; left > 0; left--) { \
        const uint32_t word = me_next_w(&x); \
        const int8_t *row = a; \
        sum0 = me_sdotsp_##KIND(sum0, word, me_step_w(&row, BYTES)); \
        sum1 = me_sdotsp_##KIND(sum1, word, me_step_w(&row, BYTES)); \
        sum2 = me_sdotsp_##KIND(sum2, word, me_step_w(&row, BYTES)); \
        sum3 = me_sdotsp_##KIND(sum3, word, me_step_w(&row, BYTES)); \
        sum4 = me_sdotsp_##KIND(sum4, word, me_step_w(&row, BYTES)); \
        sum5 = me_sdotsp_##KIND(sum5, word, me_step_w(&row, BYTES)); \
        sum6 = me_sdotsp_##KIND(sum6, word, me_step_w(&row, BYTES)); \
        sum7 = me_sdotsp_##KIND(sum7, word, me_next_w(&row)); \
        a += 4; \
    }

#if defined ME_GAP9 && !defined ME_SDK && !defined ME_PMSIS
/* The same with hardware loops, which have no loop overhead. Not in the GAP SDK application: its compiler
 * generates hardware loops itself and does not know that these use the registers of one. */
#define ME_NEXT_WORD(WORD, ROW) ME_XPULP_I("p.lw " WORD ",4(" ROW "!)", "0x0b", "2", WORD, ROW, "4") "\n"
#define ME_ADD_DOT_b(SUM, A, B) \
    ME_XPULP_R("pv.sdotsp.b " SUM "," A "," B, "0x57", "1", "0x5c", SUM, A, B) "\n"
#define ME_ADD_DOT_h(SUM, A, B) \
    ME_XPULP_R("pv.sdotsp.h " SUM "," A "," B, "0x57", "0", "0x5c", SUM, A, B) "\n"
#define ME_REPEAT(COUNT, HALVES) ME_XPULP_I("lp.setup x0," COUNT ",1f", "0x7b", "4", "x0", COUNT, HALVES) "\n"
#define ME_REPEATED "1: "

#define ME_SUM_PAIRS_REPEATED(KIND, COUNT, ONES) \
    do { \
        uint32_t x0_, x1_; \
        __asm__ volatile(ME_REPEAT("%4", "8") ME_NEXT_WORD("%2", "%1") ME_NEXT_WORD("%3", "%1") \
                             ME_ADD_DOT_##KIND("%0", "%2", "%5") \
                                 ME_REPEATED ME_ADD_DOT_##KIND("%0", "%3", "%5") \
                         : "+&r"(sum), "+&r"(x), "=&r"(x0_), "=&r"(x1_) \
                         : "r"(COUNT), "r"(ONES) \
                         : "memory"); \
    } while (0)
#define ME_DOT_PAIRS_REPEATED(KIND, COUNT) \
    do { \
        uint32_t x0_, x1_, a0_, a1_; \
        __asm__ volatile(ME_REPEAT("%7", "12") ME_NEXT_WORD("%3", "%1") ME_NEXT_WORD("%4", "%2") \
                             ME_NEXT_WORD("%5", "%1") ME_NEXT_WORD("%6", "%2") \
                                 ME_ADD_DOT_##KIND("%0", "%3", "%4") \
                                     ME_REPEATED ME_ADD_DOT_##KIND("%0", "%5", "%6") \
                         : "+&r"(sum), "+&r"(x), "+&r"(a), "=&r"(x0_), "=&r"(a0_), "=&r"(x1_), "=&r"(a1_) \
                         : "r"(COUNT) \
                         : "memory"); \
    } while (0)
#define ME_DOT2_WORDS_REPEATED(KIND, COUNT) \
    do { \
        uint32_t x0_, a0_, b0_; \
        __asm__ volatile( \
            ME_REPEAT("%8", "10") ME_NEXT_WORD("%5", "%2") ME_NEXT_WORD("%6", "%3") ME_NEXT_WORD("%7", "%4") \
                ME_ADD_DOT_##KIND("%0", "%5", "%6") ME_REPEATED ME_ADD_DOT_##KIND("%1", "%5", "%7") \
            : "+&r"(sum0), "+&r"(sum1), "+&r"(x), "+&r"(a), "+&r"(b), "=&r"(x0_), "=&r"(a0_), "=&r"(b0_) \
            : "r"(COUNT) \
            : "memory"); \
    } while (0)
#define ME_DOT4_WORDS_REPEATED(KIND, COUNT) \
    do { \
        uint32_t x0_, a0_, b0_, c0_, d0_; \
        __asm__ volatile(ME_REPEAT("%14", "18") ME_NEXT_WORD("%9", "%4") ME_NEXT_WORD("%10", "%5") \
                             ME_NEXT_WORD("%11", "%6") ME_NEXT_WORD("%12", "%7") ME_NEXT_WORD("%13", "%8") \
                                 ME_ADD_DOT_##KIND("%0", "%9", "%10") ME_ADD_DOT_##KIND("%1", "%9", "%11") \
                                     ME_ADD_DOT_##KIND("%2", "%9", "%12") \
                                         ME_REPEATED ME_ADD_DOT_##KIND("%3", "%9", "%13") \
                         : "+&r"(sum0), "+&r"(sum1), "+&r"(sum2), "+&r"(sum3), "+&r"(x), "+&r"(a), "+&r"(b), \
                           "+&r"(c), "+&r"(d), "=&r"(x0_), "=&r"(a0_), "=&r"(b0_), "=&r"(c0_), "=&r"(d0_) \
                         : "r"(COUNT) \
                         : "memory"); \
    } while (0)
/* Rows are equally spaced: a load reads row NUMBER by its offset from the first row. */
#define ME_WORD_OF_ROW(WORD, NUMBER) \
    ME_XPULP_I("lw " WORD "," NUMBER "*%c16(%9)", "0x03", "2", WORD, "%9", NUMBER "*%c16") "\n"
#define ME_DOT8_WORDS_REPEATED(KIND, COUNT, BYTES) \
    do { \
        uint32_t x0_, a0_, b0_, c0_, d0_; \
        __asm__ volatile( \
            ME_REPEAT("%15", "34") ME_NEXT_WORD("%10", "%8") ME_WORD_OF_ROW("%11", "1") \
                ME_WORD_OF_ROW("%12", "2") ME_WORD_OF_ROW("%13", "3") ME_WORD_OF_ROW("%14", "4") \
                    ME_ADD_DOT_##KIND("%1", "%10", "%11") ME_WORD_OF_ROW("%11", "5") ME_ADD_DOT_##KIND( \
                        "%2", "%10", "%12") ME_WORD_OF_ROW("%12", "6") ME_ADD_DOT_##KIND("%3", "%10", "%13") \
                        ME_WORD_OF_ROW("%13", "7") ME_ADD_DOT_##KIND("%4", "%10", "%14") \
                            ME_NEXT_WORD("%14", "%9") ME_ADD_DOT_##KIND("%5", "%10", "%11") \
                                ME_ADD_DOT_##KIND("%6", "%10", "%12") ME_ADD_DOT_##KIND("%7", "%10", "%13") \
                                    ME_REPEATED ME_ADD_DOT_##KIND("%0", "%10", "%14") \
            : "+&r"(sum0), "+&r"(sum1), "+&r"(sum2), "+&r"(sum3), "+&r"(sum4), "+&r"(sum5), "+&r"(sum6), \
              "+&r"(sum7), "+&r"(x), "+&r"(a), "=&r"(x0_), "=&r"(a0_), "=&r"(b0_), "=&r"(c0_), "=&r"(d0_) \
            : "r"(COUNT), "i"(BYTES) \
            : "memory"); \
    } while (0)

/* For few words, setting up a hardware loop takes longer than it saves, and the compiler unrolls the loop. */
#define ME_LEAST_REPEATED 9
#define ME_EITHER(COUNT, REPEATED, PLAIN) \
    if ((COUNT) >= ME_LEAST_REPEATED) \
        REPEATED; \
    else \
        PLAIN
#define ME_SUM_PAIRS(KIND, COUNT, ONES) \
    ME_EITHER(COUNT, ME_SUM_PAIRS_REPEATED(KIND, COUNT, ONES), ME_SUM_PAIRS_PLAIN(KIND, COUNT, ONES))
#define ME_DOT_PAIRS(KIND, COUNT) \
    ME_EITHER(COUNT, ME_DOT_PAIRS_REPEATED(KIND, COUNT), ME_DOT_PAIRS_PLAIN(KIND, COUNT))
#define ME_DOT2_WORDS(KIND, COUNT) \
    ME_EITHER(COUNT, ME_DOT2_WORDS_REPEATED(KIND, COUNT), ME_DOT2_WORDS_PLAIN(KIND, COUNT))
#define ME_DOT4_WORDS(KIND, COUNT) \
    ME_EITHER(COUNT, ME_DOT4_WORDS_REPEATED(KIND, COUNT), ME_DOT4_WORDS_PLAIN(KIND, COUNT))
/* Each core begins at a different word, so that cores that read their rows in lockstep access different
 * banks of L1. */
#define ME_DOT8_WORDS(KIND, COUNT, BYTES) \
    do { \
        int32_t before = (ME_CORE() & 7) * ((COUNT) / 8), words = (COUNT) - before; \
        x += 4 * before; \
        a += 4 * before; \
        do { \
            ME_DOT8_WORDS_REPEATED(KIND, words, BYTES); \
            x -= BYTES; \
            a -= BYTES; \
            words = before; \
            before = 0; \
        } while (words > 0); \
    } while (0)
#else
#define ME_SUM_PAIRS ME_SUM_PAIRS_PLAIN
#define ME_DOT_PAIRS ME_DOT_PAIRS_PLAIN
#define ME_DOT2_WORDS ME_DOT2_WORDS_PLAIN
#define ME_DOT4_WORDS ME_DOT4_WORDS_PLAIN
#define ME_DOT8_WORDS ME_DOT8_WORDS_PLAIN
#endif
#define ME_DOT8_BYTES 292 /* 7 * ME_DOT8_BYTES fits in the 12-bit offset of a load */

/* One word of x and of another row, then the remaining elements after the last whole word; a word has
 * PER_WORD elements. */
#define ME_DOTS(KIND, TYPE, PER_WORD, ONES) \
    static inline int32_t me_sum_##KIND(const TYPE *of_x, int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x; \
        int32_t sum = 0; \
        if (n >= 2 * PER_WORD) { \
            ME_SUM_PAIRS(KIND, n / (2 * PER_WORD), ONES); \
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
        if (n >= 2 * PER_WORD) { \
            ME_DOT_PAIRS(KIND, n / (2 * PER_WORD)); \
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
        if (n >= PER_WORD) { \
            ME_DOT2_WORDS(KIND, n / PER_WORD); \
        } \
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
        if (n >= PER_WORD) { \
            ME_DOT4_WORDS(KIND, n / PER_WORD); \
        } \
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
    } \
\
    /* n: a literal, whole words */ \
    static inline __attribute__((always_inline)) void me_dot8_##KIND(int32_t *sums, const TYPE *of_x, \
                                                                     const TYPE *of_a, const int32_t n) \
    { \
        const int8_t *x = (const int8_t *)of_x, *a = (const int8_t *)of_a; \
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0, sum4 = 0, sum5 = 0, sum6 = 0, sum7 = 0; \
        ME_DOT8_WORDS(KIND, n / PER_WORD, n / PER_WORD * 4); \
        sums[0] = sum0; \
        sums[1] = sum1; \
        sums[2] = sum2; \
        sums[3] = sum3; \
        sums[4] = sum4; \
        sums[5] = sum5; \
        sums[6] = sum6; \
        sums[7] = sum7; \
    }

ME_DOTS(b, int8_t, 4, 0x01010101u)
ME_DOTS(h, int16_t, 2, 0x00010001u)

#endif
