/* SPDX-License-Identifier: Apache-2.0
 * Products of numbers of 8 or 16 bits, operands in L1. Cores 0 .. 7 call the kernel together; each computes
 * its share, and no barrier is inside.
 */
#ifndef ME_MUL_S16_H
#define ME_MUL_S16_H

#include <stdint.h>

#include "me_scale.h"

/* *_wide: int16, else int8; a table is for results of int8 alone; *_once: rows of an operand are one
 * element, which every result takes */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_zero, b_zero, mult, offset, shift, a_once, b_once;
    me_scale scale;
} me_mul_s16_params;

/* rows of n elements: of y one behind the other, of a and b a_row and b_row elements apart */
typedef struct {
    const void *a, *b;
    void *y;
    int32_t n, rows, a_row, b_row;
} me_mul_s16_tile;

/* Product of two tensors of int8 or int16 whose rows may be apart: acc = (a - a_zero) * (b - b_zero), int8 or
 * int16 y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * pre 0 to 20, mult 0 to 32,767, shift 0 to 30; acc stays inside int32. */
void me_mul_s16(const me_mul_s16_params *op, const me_mul_s16_tile *tile);

#endif
