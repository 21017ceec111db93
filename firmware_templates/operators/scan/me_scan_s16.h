/* SPDX-License-Identifier: Apache-2.0
 * Linear recurrences along an axis, of numbers of 8 or 16 bits, operands in L1.
 */
#ifndef ME_SCAN_S16_H
#define ME_SCAN_S16_H

#include <stdint.h>

/* As me_scan_s8_params has it, but states have 24 bits; *_wide: whether a, b and y are int16 */
typedef struct {
    int32_t a_wide, b_wide, y_wide, n, a_zero, a_mult, a_shift, bits, b_zero, b_mult, b_shift, y_zero;
} me_scan_s16_params;

/* a, b, y  [outer][n][inner] */
typedef struct {
    const void *a, *b;
    void *y;
    int32_t outer, inner;
} me_scan_s16_tile;

void me_scan_s16(const me_scan_s16_params *op, const me_scan_s16_tile *tile);

#endif
