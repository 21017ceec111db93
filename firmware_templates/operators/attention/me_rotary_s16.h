/* SPDX-License-Identifier: Apache-2.0
 * Rotary embedding of rows in L1, of 8 or 16 bits. Cores 0 .. 7 call the kernel together, each takes its share of the
 * rows, and no barrier is inside.
 */
#ifndef ME_ROTARY_S16_H
#define ME_ROTARY_S16_H

#include <stdint.h>

/* Elements first * i and first * i + apart of a row, a and b less x_zero, become
 * (a c - b s + offset) >> shift, (a s + b c + offset) >> shift; no sum leaves int32. */
typedef struct {
    int32_t inner, pairs, x_zero, offset, shift, x_wide, y_wide, first, apart, low, high;
} me_rotary_s16_params;

/* x, y      int16 where they are wide, else int8: outer x positions x inner rows of pairs
 * turns     int16, for every position, for every pair: c, -s, s, c */
typedef struct {
    const void *x, *turns;
    void *y;
    int32_t outer, positions;
} me_rotary_s16_tile;

void me_rotary_s16(const me_rotary_s16_params *op, const me_rotary_s16_tile *tile);

#endif
