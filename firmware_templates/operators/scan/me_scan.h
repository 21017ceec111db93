/* SPDX-License-Identifier: Apache-2.0
 * Linear recurrences along an axis, operands in L1. Cores 0 .. 7 call a kernel together; each computes its share, and
 * no barrier is inside.
 */
#ifndef ME_SCAN_H
#define ME_SCAN_H

#include <stdint.h>

/* *_wide   of me_scan_s16: whether a, b and y are int16
 * keeps    of me_scan_stream_*: whether y is the last state alone */
typedef struct {
    int32_t a_wide, b_wide, y_wide, n, a_zero, a_mult, a_shift, bits, b_zero, b_mult, b_shift, y_zero, keeps;
} me_scan_params;

/* a, b     [outer][n][inner]
 * before   of me_scan_stream_*: states before the first step [outer][inner], int32 of *_s8 and int64 of *_s16; or 0
 * y        as a; if `keeps` as before */
typedef struct {
    const void *a, *b, *before;
    void *y;
    int32_t outer, inner;
} me_scan_tile;

typedef me_scan_params me_scan_s8_params, me_scan_s16_params;
typedef me_scan_tile me_scan_s8_tile, me_scan_s16_tile;
typedef me_scan_params me_scan_stream_s8_params, me_scan_stream_s16_params;
typedef me_scan_tile me_scan_stream_s8_tile, me_scan_stream_s16_tile;

/* h[t] = a[t] * h[t - 1] + b[t], h[-1] = 0, of int8 to int8, in states s of 16 bits:
 * s = clip16((w * s >> bits) + ((b - b_zero) * b_mult >> b_shift)), w = clip16((a - a_zero) * a_mult >> a_shift),
 * y = clip8((s >> 7) + y_zero). Each shift has half of it added before: to nearest, halves up.
 * a_mult, b_mult 0 to 32,767; a_shift, b_shift 0 to 30; bits 0 to 15; zero points -128 to 127. */
void me_scan_s8(const me_scan_s8_params *op, const me_scan_s8_tile *tile);

/* The same of int8 or int16 to int8 or int16, as *_wide say: s has 24 bits and w * s 64, y is clipped to its type.
 * b_mult at least 0, as large as leaves its product inside int32. */
void me_scan_s16(const me_scan_s16_params *op, const me_scan_s16_tile *tile);

/* The same from the states of `before` on, with the same ranges. */
void me_scan_stream_s8(const me_scan_stream_s8_params *op, const me_scan_stream_s8_tile *tile);
void me_scan_stream_s16(const me_scan_stream_s16_params *op, const me_scan_stream_s16_tile *tile);

#endif
