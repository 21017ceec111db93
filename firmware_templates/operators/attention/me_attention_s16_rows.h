/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_attention_s16.c. Two bodies: me_attention_s16_rows.S for GAP9's cores,
 * me_attention_s16_rows.c in C. Every count is at least 1.
 */
#ifndef ME_ATTENTION_S16_ROWS_H
#define ME_ATTENTION_S16_ROWS_H

#include "me_attention_rows.h"

/* Rows of int16, two in a word; no sum leaves int32. */
void me_products_halves(const me_products *of);

/* How scores become exponentials; near, far as me_exponentials has them.
 * me_attention_s16_rows.S knows these offsets. */
typedef struct {
    int32_t largest, drop;
    uint32_t most, mult;
    const uint16_t *near, *far;
} me_row_entries;

/* x = near[entry & 255] * far[entry >> 8] in Q15, entry = min((min(largest - x >> drop, most) * mult + 2**14)
 * >> 15, 65535), all unsigned; the sum of these */
uint32_t me_row_exponentials_h(int32_t *x, int32_t n, const me_row_entries *by);

/* Pairs of x >> drop in a word each, in their place or before it; their sum. */
uint32_t me_row_packed(const int32_t *x, int32_t *to, int32_t pairs, int32_t drop);

/* to = (x + add) >> drop, of pairs of int16 or int8 */
void me_row_of_halves(const int16_t *x, int16_t *to, int32_t pairs, int32_t add, int32_t drop);
void me_row_of_bytes(const int8_t *x, int16_t *to, int32_t pairs, int32_t add, int32_t drop);

/* How sums become results; factor is below 2**16. me_attention_s16_rows.S knows these offsets. */
typedef struct {
    int32_t down, factor, half, shift, zero, low, high;
} me_row_scale;

/* y = clip((((x >> down) * factor >> 16) + half >> shift) + zero), the product of 64 bits */
void me_row_scaled_halves(const int32_t *x, int16_t *y, int32_t n, const me_row_scale *by);
void me_row_scaled_bytes(const int32_t *x, int8_t *y, int32_t n, const me_row_scale *by);

#endif
