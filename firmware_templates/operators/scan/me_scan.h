/* SPDX-License-Identifier: Apache-2.0
 * Linear recurrences along an axis, operands in L1.
 */
#ifndef ME_SCAN_H
#define ME_SCAN_H

#include <stdint.h>

/* s = clip16((w s >> bits) + (b b_mult >> b_shift)), w = a a_mult >> a_shift, y = clip8((s >> 7) + y_zero), all
 * shifts rounded; a and b less their zero points */
typedef struct {
    int32_t n, a_zero, a_mult, a_shift, bits, b_zero, b_mult, b_shift, y_zero;
} me_scan_s8_params;

/* a, b, y  int8 [outer][n][inner] */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t outer, inner;
} me_scan_s8_tile;

void me_scan_s8(const me_scan_s8_params *op, const me_scan_s8_tile *tile);

#endif
