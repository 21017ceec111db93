/* SPDX-License-Identifier: Apache-2.0
 * Linear recurrences along an axis, operands in L1. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_SCAN_H
#define ME_SCAN_H

#include <stdint.h>

typedef struct {
    int32_t n, a_zero, a_mult, a_shift, bits, b_zero, b_mult, b_shift, y_zero;
} me_scan_s8_params;

/* a, b, y  int8 [outer][n][inner] */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t outer, inner;
} me_scan_s8_tile;

/* h[t] = a[t] * h[t - 1] + b[t], h[-1] = 0, of int8 to int8, in states s of 16 bits:
 * s = clip16((w * s >> bits) + ((b - b_zero) * b_mult >> b_shift)), w = clip16((a - a_zero) * a_mult >> a_shift),
 * y = clip8((s >> 7) + y_zero). Each shift has half of it added before: to nearest, halves up.
 * a_mult, b_mult 0 to 32,767; a_shift, b_shift 0 to 30; bits 0 to 15; zero points -128 to 127. */
void me_scan_s8(const me_scan_s8_params *op, const me_scan_s8_tile *tile);

#endif
