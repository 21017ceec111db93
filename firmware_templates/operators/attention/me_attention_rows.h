/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_attention_s8.c. Implementations: me_attention_rows.S for GAP9's cores,
 * me_attention_rows.c in portable C. Every count is at least 1.
 */
#ifndef ME_ATTENTION_ROWS_H
#define ME_ATTENTION_ROWS_H

#include <stdint.h>

/* Products of four rows a with `blocks` blocks of four rows b, each b_step bytes after the one before:
 * y[i][j] = dot product of a[i] and b[j] over `words` words, added to y if `add`. y is int32; blocks are
 * 16 bytes apart, rows y_stride bytes.
 * turn: index of the first word in each row; a and b point to it, and the sum wraps around to the words
 * before it. The results do not depend on it; cores with different values access different banks.
 * me_attention_rows.S knows these offsets. */
typedef struct {
    const int8_t *a[4], *b[4];
    int32_t *y;
    int32_t b_step, y_stride, words, blocks, add, turn;
} me_products;

void me_products_signed(const me_products *of);   /* a and b are signed */
void me_products_unsigned(const me_products *of); /* a is unsigned, b is signed */

int32_t me_row_most(const int32_t *x, int32_t n);

/* Adds the bias: x += bias * mult >> shift. */
void me_row_biased(int32_t *x, const int8_t *bias, int32_t n, int32_t mult, int32_t shift);

/* Masks keys: x -= 2^29 if mask < 0. */
void me_row_masked(int32_t *x, const int8_t *mask, int32_t n);

/* Replaces 4 * fours scores by exponentials: to = exp[min(top - x, most) * mult >> shift]. Returns their
 * sum. `to` may be x. */
uint32_t me_row_exponentials(const int32_t *x, uint8_t *to, int32_t fours, int32_t top, int32_t most,
                             int32_t mult, int32_t shift, const uint8_t *exp);

/* Parameters of 12-bit exponentials: the tables of lower and of upper bytes. me_attention_rows.S knows
 * these offsets. */
typedef struct {
    int32_t top, most, mult, shift;
    const uint8_t *lower, *upper;
} me_exp12_entries;

/* 12-bit exponentials: to = lower[entry] and upper = upper[entry], with entry as in me_row_exponentials.
 * Returns the sum of lower + 256 * upper. The first function computes n scores, and `to` may be x; the
 * second one 4 * fours scores at addresses that are multiples of 4. */
uint32_t me_row_exponentials_12(const int32_t *x, uint8_t *to, uint8_t *upper, int32_t n,
                                const me_exp12_entries *by);
uint32_t me_row_exponentials_12_fours(const int32_t *x, uint8_t *to, uint8_t *upper, int32_t fours,
                                      const me_exp12_entries *by);

/* Joins the sums of lower and upper bytes: x += 256 * upper + half. */
void me_row_joined(int32_t *x, const int32_t *upper, int32_t n, int32_t half);

/* Requantises 4 * fours sums: y = clip((((x >> down) * factor) + offset) >> shift). */
void me_row_scaled(const int32_t *x, int8_t *y, int32_t fours, int32_t down, int32_t factor, int32_t offset,
                   int32_t shift);

#endif
