/* SPDX-License-Identifier: Apache-2.0
 * Rotary embedding of rows in L1. Cores 0 .. 7 call together, each takes its share of the rows, and
 * no barrier is inside.
 */
#ifndef ME_ROTARY_H
#define ME_ROTARY_H

#include <stdint.h>

typedef struct {
    int32_t inner, pairs, x_zero, offset, shift;
} me_rotary_s8_params;

/* x, y      outer x positions x inner rows of pairs
 * turns     for every position, for every pair: c, -s, s, c; aligned to 4 */
typedef struct {
    const int8_t *x;
    const void *turns;
    int8_t *y;
    int32_t outer, positions;
} me_rotary_s8_tile;

/* Rotary position embedding of int8 rows to int8: each pair of neighbours a and b, minus x_zero, becomes
 * clip8((a c - b s + offset) >> shift) and clip8((a s + b c + offset) >> shift), by a rotation of its position.
 * x_zero -128 to 127; turns -32,767 to 32,767; shift 0 to 22; sums stay inside int32. */
void me_rotary_s8(const me_rotary_s8_params *op, const me_rotary_s8_tile *tile);

typedef me_rotary_s8_params me_rotary_halves_s8_params;
typedef me_rotary_s8_tile me_rotary_halves_s8_tile;

/* me_rotary_s8 where pair i of a row is its element i and its element pairs + i; the same ranges. */
void me_rotary_halves_s8(const me_rotary_halves_s8_params *op, const me_rotary_halves_s8_tile *tile);

/* Pair i of a row: elements first * i and first * i + apart */
typedef struct {
    int32_t inner, pairs, x_zero, offset, shift, x_wide, y_wide, first, apart, low, high;
} me_rotary_s16_params;

/* x, y   int16 where they are wide, otherwise int8 */
typedef struct {
    const void *x, *turns;
    void *y;
    int32_t outer, positions;
} me_rotary_s16_tile;

/* me_rotary_s8 of int8 or int16 to int8 or int16, as x_wide and y_wide say, clipped to low and high, with the same
 * ranges, except for x_zero: of int16 -32,768 to 32,767. */
void me_rotary_s16(const me_rotary_s16_params *op, const me_rotary_s16_tile *tile);

#endif
