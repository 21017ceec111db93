/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel behind me_matmul_s16.c. Two bodies: me_dots_s16.S for GAP9's cores, me_dots_s16.c in C.
 */
#ifndef ME_DOTS_S16_H
#define ME_DOTS_S16_H

#include <stdint.h>

/* A sum of high << 16 and low. */
typedef struct {
    uint32_t low;
    int32_t high;
} me_wide_sum;

/* Sum of a[i] * b[i] over words of two numbers each, 1 .. 2**16 of them, minus the number of words: two
 * products make up to 2**31, which is one more than int32 holds. */
void me_dots_h(const int16_t *a, const int16_t *b, int32_t words, me_wide_sum *of);

#endif
