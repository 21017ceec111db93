/* SPDX-License-Identifier: Apache-2.0
 * Operators on elements, operands in L1. Cores 0 .. 7 call them together; each computes its share,
 * and no barrier is inside. An operand may be the result (y == a), not part of it.
 */
#ifndef ME_ELEMENTWISE_H
#define ME_ELEMENTWISE_H

#include <stdint.h>

#include "me_scale.h"

#define ME_LOOPS 6 /* at most, in any operand with strides */

/* Two operands that are broadcast. The result is contiguous in the order of the loops, the
 * outermost first; a turn of a loop moves an operand by its step, 0 if it repeats. The innermost
 * steps are 0 or 1. Fastest where rows are long and everything is aligned to words. */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t loops; /* 1 .. ME_LOOPS */
    int32_t extent[ME_LOOPS], a_step[ME_LOOPS], b_step[ME_LOOPS];
} me_binary_s8_tile;

typedef me_binary_s8_tile me_add_s8_tile, me_mul_s8_tile;

/* A difference has a negative b_mult. scale.pre is not read.
 * bits   8 where both multipliers are -128 to 127; otherwise 24 where 128 * (|a_mult| + |b_mult|) + |offset| < 2^23,
 *        so that 24 bits hold every sum; otherwise 32, the slowest, which always holds */
typedef struct {
    int32_t a_mult, b_mult, offset, shift;
    me_scale scale;
    int32_t bits;
} me_add_s8_params;

/* Sum or difference of two int8 tensors that are broadcast: int8
 * y = clip((a * a_mult + b * b_mult + offset) >> shift), then the table.
 * a_mult, b_mult -32,767 to 32,767; shift 0 to 30; the sum stays inside
 * int32. Operands at any address. */
void me_add_s8(const me_add_s8_params *op, const me_add_s8_tile *tile);

typedef struct {
    int32_t a_zero, b_zero, mult, offset, shift;
    me_scale scale;
} me_mul_s8_params;

/* Product of two int8 tensors that are broadcast: acc = (a - a_zero) * (b - b_zero), int8
 * y = clip((((acc >> pre) * mult) + offset) >> shift), then the table.
 * a_zero, b_zero -128 to 127; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. Operands at any address. */
void me_mul_s8(const me_mul_s8_params *op, const me_mul_s8_tile *tile);

/* table: 256 entries, the first for -128 */
typedef struct {
    const int8_t *table;
} me_table_s8_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t n;
} me_table_s8_tile;

/* Any function of one int8 number: int8 y = table[x + 128], n >= 0 elements at any address, faster at
 * aligned ones. */
void me_table_s8(const me_table_s8_params *op, const me_table_s8_tile *tile);

/* It has no parameters. */
typedef struct {
    int32_t unused;
} me_tables_s8_params;

/* x, y  int8 [outer][channels][inner]     tables  int8 [channels][256], the first entries for -128 */
typedef struct {
    const int8_t *x, *tables;
    int8_t *y;
    int32_t outer, channels, inner;
} me_tables_s8_tile;

/* Any function of one int8 number for every channel c: int8 y = tables[c][x + 128]; extents at least 1. x, y at any
 * address. */
void me_tables_s8(const me_tables_s8_params *op, const me_tables_s8_tile *tile);

/* *_wide: int16, otherwise int8; rows of n elements: of y one after the other, of a and b a_row and b_row elements
 * apart. low, high: limits of y; *_once: rows of an operand are one element, which every
 * result takes; nine_cores: core 8 calls it as well */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_mult, b_mult, offset, shift, low, high, a_once, b_once, nine_cores;
} me_add_s16_params;

typedef struct {
    const void *a, *b;
    void *y;
    int32_t n, rows, a_row, b_row;
} me_add_s16_tile;

/* Sum or difference of two tensors of int8 or int16 whose rows may be apart: int8 or int16
 * y = clip((a * a_mult + b * b_mult + offset) >> shift).
 * a_mult, b_mult int32 with a sign, as large as leaves the sum inside int32; shift 0 to 30. */
void me_add_s16(const me_add_s16_params *op, const me_add_s16_tile *tile);

#endif
