/* SPDX-License-Identifier: Apache-2.0
 * Linear recurrences along an axis, of numbers of 8 or 16 bits, operands in L1. Cores 0 .. 7 call the kernel
 * together; each computes its share, and no barrier is inside.
 */
#ifndef ME_SCAN_S16_H
#define ME_SCAN_S16_H

#include <stdint.h>

/* *_wide: whether a, b and y are int16 */
typedef struct {
    int32_t a_wide, b_wide, y_wide, n, a_zero, a_mult, a_shift, bits, b_zero, b_mult, b_shift, y_zero;
} me_scan_s16_params;

/* a, b, y  [outer][n][inner] */
typedef struct {
    const void *a, *b;
    void *y;
    int32_t outer, inner;
} me_scan_s16_tile;

/* me_scan_s8 of int8 or int16 to int8 or int16, as *_wide say: s has 24 bits and w * s 64, y is clipped to its
 * type. a_mult 0 to 32,767; b_mult at least 0, as large as leaves its product inside int32; a_shift, b_shift
 * 0 to 30; bits 0 to 15. */
void me_scan_s16(const me_scan_s16_params *op, const me_scan_s16_tile *tile);

#endif
