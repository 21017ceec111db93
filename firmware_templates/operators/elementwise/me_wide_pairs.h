/* SPDX-License-Identifier: Apache-2.0
 * Functions of two tensors of 8 or 16 bits, operands in L1. Cores 0 .. 7 call a kernel together; each computes its
 * share, and no barrier is inside.
 */
#ifndef ME_WIDE_PAIRS_H
#define ME_WIDE_PAIRS_H

#include "me_scale.h"
#include "me_share.h"
#include "me_wide.h"

/* rows of n elements: of y one after the other, of a and b a_row and b_row elements apart */
typedef struct {
    const void *a, *b;
    void *y;
    int32_t n, rows, a_row, b_row;
} me_wide_pairs_tile;

typedef me_wide_pairs_tile me_mul_s16_tile, me_atan2_s16_tile;

/* *_wide: int16, otherwise int8; a table is for results of int8 only; *_once: rows of an operand are one
 * element, which every result takes */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_zero, b_zero, mult, offset, shift, a_once, b_once;
    me_scale scale;
} me_mul_s16_params;

/* Product of two tensors of int8 or int16 whose rows may be apart: acc = (a - a_zero) * (b - b_zero), int8 or
 * int16 y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * pre 0 to 20, mult 0 to 32,767, shift 0 to 30; acc stays inside int32. */
void me_mul_s16(const me_mul_s16_params *op, const me_mul_s16_tile *tile);

/* *_wide, *_once as in me_mul_s16_params
 * angles   int16 [258]: of the quotients 0 .. 256 of 256, the last one twice */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_zero, b_zero, a_mult, b_mult, mult, offset, shift, a_once, b_once;
    const int16_t *angles;
    me_scale scale;
} me_atan2_s16_params;

/* The angle of points of int8 or int16, as a_wide, b_wide and y_wide say: the ordinate is
 * ((a - a_zero) * a_mult + 2^13) >> 14, the abscissa the same of b, both within 2^15. acc is their angle in steps
 * of pi / 2^16 with the signs of a - a_zero and b - b_zero, requantised as in me_atan2_s8.
 * a_mult, b_mult: products stay within 2^29; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_atan2_s16(const me_atan2_s16_params *op, const me_atan2_s16_tile *tile);

/* n results from element y on, of a and b at these elements. */
typedef void me_wide_pairs_row(const void *op, const me_wide_pairs_tile *tile, int32_t a, int32_t b,
                               int32_t y, int32_t n);

/* The core's results, row by row, then through the table, or 0. */
static inline void me_each_wide_pair(const me_wide_pairs_tile *tile, me_wide_pairs_row *row_of,
                                     const void *op, int32_t a_once, int32_t b_once, const int8_t *table)
{
    const int32_t width = tile->n, first = ME_FIRST(tile->rows * width), last = ME_LAST(tile->rows * width);
    int8_t *const bytes = tile->y;
    for (int32_t at = first, n; at < last; at += n) {
        const int32_t row = at / width, column = at - row * width;
        n = me_min(width - column, last - at);
        row_of(op, tile, row * tile->a_row + (a_once ? 0 : column), row * tile->b_row + (b_once ? 0 : column),
               at, n);
    }
    for (int32_t at = first; table && at < last; at++)
        bytes[at] = me_lookup(table, bytes[at]);
}

#endif
