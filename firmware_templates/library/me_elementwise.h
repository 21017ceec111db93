/* SPDX-License-Identifier: Apache-2.0
 * Elementwise operators on operands in L1. Cores 0 .. 7 call a kernel together, and each computes its
 * share; there is no barrier inside. The result may overwrite an operand (y == a) but not overlap a part of
 * it.
 */
#ifndef ME_ELEMENTWISE_H
#define ME_ELEMENTWISE_H

#include <stdint.h>

#include "me_scale.h"

#define ME_LOOPS 6 /* maximum number of loops of operands with strides */

/* Two operands with broadcasting. The result is contiguous, with the outermost loop first. Each iteration
 * of loop d advances an operand by its step[d], 0 for a broadcast axis. The innermost steps are 0 or 1.
 * Fastest if rows are long and all addresses are aligned to words. */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t loops; /* 1 .. ME_LOOPS */
    int32_t extent[ME_LOOPS], a_step[ME_LOOPS], b_step[ME_LOOPS];
} me_binary_s8_tile;

typedef me_binary_s8_tile me_add_s8_tile, me_mul_s8_tile;

/* For a difference, b_mult is negative. scale.pre is not used.
 * bits  8 if both multipliers are -128 to 127; otherwise 24 if 128 * (|a_mult| + |b_mult|) + |offset| <
 *       2^23, so that every sum fits in 24 bits; otherwise 32, which is always correct and slowest */
typedef struct {
    int32_t a_mult, b_mult, offset, shift;
    me_scale scale;
    int32_t bits;
} me_add_s8_params;

/* Sum or difference of two int8 tensors with broadcasting: int8 y = clip((a * a_mult + b * b_mult +
 * offset) >> shift), then the table. a_mult, b_mult -32,767 to 32,767; shift 0 to 30; the sum stays inside
 * int32. Operands at any address. */
void me_add_s8(const me_add_s8_params *op, const me_add_s8_tile *tile);

typedef struct {
    int32_t a_zero, b_zero, mult, offset, shift;
    me_scale scale;
} me_mul_s8_params;

/* Product of two int8 tensors with broadcasting: acc = (a - a_zero) * (b - b_zero), int8 y = clip((((acc
 * >> pre) * mult) + offset) >> shift), then the table. a_zero, b_zero -128 to 127; pre 0 to 20, mult 0 to
 * 32,767, shift 0 to 30. Operands at any address. */
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

/* Elementwise function as a lookup table: int8 y = table[x + 128] for n >= 0 elements at any address;
 * faster at aligned addresses. */
void me_table_s8(const me_table_s8_params *op, const me_table_s8_tile *tile);

/* me_tables_s8 has no parameters. */
typedef struct {
    int32_t unused;
} me_tables_s8_params;

/* x, y  int8 [outer][channels][inner]     tables  int8 [channels][256], the first entries for -128 */
typedef struct {
    const int8_t *x, *tables;
    int8_t *y;
    int32_t outer, channels, inner;
} me_tables_s8_tile;

/* Elementwise function with one lookup table per channel c: int8 y = tables[c][x + 128]; extents at least
 * 1. x, y at any address. */
void me_tables_s8(const me_tables_s8_params *op, const me_tables_s8_tile *tile);

/* a_wide, b_wide, y_wide: int16, otherwise int8. Rows have n elements: y is contiguous, rows of a and b
 * start a_row and b_row elements apart. low, high: limits of y. a_once, b_once: each row of the operand is
 * a single element, which is broadcast over the row. nine_cores: core 8 also calls the kernel. */
typedef struct {
    int32_t a_wide, b_wide, y_wide, a_mult, b_mult, offset, shift, low, high, a_once, b_once, nine_cores;
} me_add_s16_params;

typedef struct {
    const void *a, *b;
    void *y;
    int32_t n, rows, a_row, b_row;
} me_add_s16_tile;

/* Sum or difference of two int8 or int16 tensors with strided rows: int8 or int16 y = clip((a * a_mult + b
 * * b_mult + offset) >> shift). a_mult, b_mult are signed and as large as the sum inside int32 allows;
 * shift 0 to 30. */
void me_add_s16(const me_add_s16_params *op, const me_add_s16_tile *tile);

#endif
