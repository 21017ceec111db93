/* SPDX-License-Identifier: Apache-2.0
 * Rotary embedding of rows in L1. Cores 0 .. 7 call together, each takes its share of the rows, and
 * no barrier is inside.
 */
#ifndef ME_ROTARY_H
#define ME_ROTARY_H

#include <stdint.h>

/* A pair of a row, a and b less x_zero, becomes (a c - b s + offset) >> shift, (a s + b c + offset) >> shift. */
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

/* Rotary position embedding of int8 rows, for every pair of neighbours by a rotation of its position. */
void me_rotary_s8(const me_rotary_s8_params *op, const me_rotary_s8_tile *tile);

/* Rotary position embedding, where pair i of a row is its element i and its element pairs + i. */
typedef me_rotary_s8_params me_rotary_halves_s8_params;
typedef me_rotary_s8_tile me_rotary_halves_s8_tile;
void me_rotary_halves_s8(const me_rotary_halves_s8_params *op, const me_rotary_halves_s8_tile *tile);

#endif
