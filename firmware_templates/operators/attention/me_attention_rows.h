/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_attention_s8.c. Two bodies: me_attention_rows.S for GAP9's cores,
 * me_attention_rows.c in C. Every count is at least 1.
 */
#ifndef ME_ATTENTION_ROWS_H
#define ME_ATTENTION_ROWS_H

#include <stdint.h>

/* Four rows a times four rows b, `blocks` times, b_step bytes further each time: y[i][j] = sum over
 * `words` words, and what y was if `add`. y is int32, 16 bytes further each time, y_stride bytes
 * between rows.
 * turn: sums begin with word `turn` of every row, to which a and b point, and end with those before
 * it. That changes no sum; cores that do not begin alike read from different banks.
 * me_attention_rows.S knows these offsets. */
typedef struct {
    const int8_t *a[4], *b[4];
    int32_t *y;
    int32_t b_step, y_stride, words, blocks, add, turn;
} me_products;

void me_products_signed(const me_products *of);   /* bytes of both are signed */
void me_products_unsigned(const me_products *of); /* those of a are not */

int32_t me_row_most(const int32_t *x, int32_t n);

/* x += bias * mult >> shift */
void me_row_biased(int32_t *x, const int8_t *bias, int32_t n, int32_t mult, int32_t shift);

/* x -= 2^29 where mask is below 0 */
void me_row_hidden(int32_t *x, const int8_t *mask, int32_t n);

/* Four of them at a time: entry = exp[min(top - x, most) * mult >> shift], and the sum of these. to
 * may be x. */
uint32_t me_row_exponentials(const int32_t *x, uint8_t *to, int32_t fours, int32_t top, int32_t most,
                             int32_t mult, int32_t shift, const uint8_t *exp);

/* How scores become exponentials of 12 bits: the tables of lower and of upper bytes.
 * me_attention_rows.S knows these offsets. */
typedef struct {
    int32_t top, most, mult, shift;
    const uint8_t *lower, *upper;
} me_exp12_entries;

/* lower[entry] in `to` and upper[entry] in `upper`, entry as above; the sum of lower + 256 * upper. n of them: to
 * may be x; or four at a time, of words. */
uint32_t me_row_exponentials_12(const int32_t *x, uint8_t *to, uint8_t *upper, int32_t n,
                                const me_exp12_entries *by);
uint32_t me_row_exponentials_12_fours(const int32_t *x, uint8_t *to, uint8_t *upper, int32_t fours,
                                      const me_exp12_entries *by);

/* x += 256 * upper + half */
void me_row_joined(int32_t *x, const int32_t *upper, int32_t n, int32_t half);

/* Four of them at a time: y = clip((((x >> down) * factor) + offset) >> shift) */
void me_row_scaled(const int32_t *x, int8_t *y, int32_t fours, int32_t down, int32_t factor, int32_t offset,
                   int32_t shift);

#endif
