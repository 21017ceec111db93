/* SPDX-License-Identifier: Apache-2.0
 * Functions of one number of 8 or 16 bits, operands in L1. Cores 0 .. 7 call the kernel together; each
 * computes its share, and no barrier is inside.
 */
#ifndef ME_TABLE_S16_H
#define ME_TABLE_S16_H

#include <stdint.h>

#define ME_TABLE_HALF 706 /* points of a sign: up to a magnitude of 2^16 */

/* x_wide, y_wide: x, y are int16, else int8; one of them is int16
 * table  of x of 8 bits an entry for each, the first for -128; of 16 bits points at magnitudes of
 *        x - x_zero, 0 .. 63 one each, then 64 an octave, in steps of 2 of y's, or 1 / 128:
 *        ME_TABLE_HALF of positive numbers, as many of negative ones */
typedef struct {
    int32_t x_wide, y_wide, x_zero;
    const int16_t *table;
} me_table_s16_params;

typedef struct {
    const void *x;
    void *y;
    int32_t n;
} me_table_s16_tile;

/* Any function of n >= 0 numbers of int8 or int16, y int8 or int16. Of int8 x: y = table[x + 128]. Of int16
 * x: along the line between the two points nearest to |x - x_zero|, which is at most 65,535, rounded to nearest
 * and clipped to the type of y. */
void me_table_s16(const me_table_s16_params *op, const me_table_s16_tile *tile);

#endif
