/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel of me_matmul_s16.c. Implementations: me_dots_s16.S for GAP9's cores, me_dots_s16.c in
 * portable C.
 */
#ifndef ME_DOTS_S16_H
#define ME_DOTS_S16_H

#include <stdint.h>

/* A 64-bit sum: high * 2^16 + low. */
typedef struct {
    uint32_t low;
    int32_t high;
} me_wide_sum;

/* Dot product of a and b over 1 .. 2**16 words of two int16 values each, minus the number of words: the
 * sum of two products is at most 2**31, one more than int32 holds. */
void me_dots_h(const int16_t *a, const int16_t *b, int32_t words, me_wide_sum *of);

#endif
