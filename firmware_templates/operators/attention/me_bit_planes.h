/* SPDX-License-Identifier: Apache-2.0
 * Converts rows of bytes to weights of NE16's 1x1 jobs: bit planes of the bytes plus 128
 * (docs/developers/ne16.md). Implementations: me_bit_planes.S for GAP9's cores, me_bit_planes.c in portable
 * C.
 */
#ifndef ME_BIT_PLANES_H
#define ME_BIT_PLANES_H

#include <stdint.h>

/* Converts groups >= 1 of 16 bytes to bit planes: for each group and each bit, the lowest first, two
 * bytes; bit i % 8 of byte i / 8 is taken from byte i. x, planes at multiples of 4. Returns the sum of x. */
int32_t me_bit_planes(const int8_t *x, int32_t groups, uint8_t *planes);

/* Converts a row of n bytes, a multiple of 4; the last group is padded with zeros. */
static inline int32_t me_bit_planes_row(const int8_t *x, int32_t n, uint8_t *planes)
{
    const int32_t whole = n & ~15;
    int32_t sum = whole > 0 ? me_bit_planes(x, n / 16, planes) : 0;
    if (n > whole) {
        int8_t last[16] __attribute__((aligned(4))) = { 0 };
        for (int32_t i = whole; i < n; i++)
            last[i - whole] = x[i];
        sum += me_bit_planes(last, 1, planes + whole);
    }
    return sum;
}

#endif
