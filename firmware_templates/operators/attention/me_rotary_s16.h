/* SPDX-License-Identifier: Apache-2.0
 * Rotary embedding of rows in L1, of 8 or 16 bits. Cores 0 .. 7 call the kernel together, each takes its share of the
 * rows, and no barrier is inside.
 */
#ifndef ME_ROTARY_S16_H
#define ME_ROTARY_S16_H

#include <stdint.h>

/* Pair i of a row: elements first * i and first * i + apart */
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

/* me_rotary_s8 of int8 or int16 to int8 or int16, as x_wide and y_wide say, clipped to low and high, with the same
 * ranges, but for x_zero: of int16 -32,768 to 32,767. */
void me_rotary_s16(const me_rotary_s16_params *op, const me_rotary_s16_tile *tile);

#endif
