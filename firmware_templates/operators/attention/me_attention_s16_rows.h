/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_attention_s16.c. Implementations: me_attention_s16_rows.S for GAP9's cores,
 * me_attention_s16_rows.c in portable C. Every count is at least 1.
 */
#ifndef ME_ATTENTION_S16_ROWS_H
#define ME_ATTENTION_S16_ROWS_H

#include "me_attention_rows.h"

/* Rows of int16, two values per word; all sums stay inside int32. */
void me_products_halves(const me_products *of);

/* Parameters of exponentials; near, far as in me_exponentials. me_attention_s16_rows.S knows these
 * offsets. */
typedef struct {
    int32_t largest, drop;
    uint32_t most, mult;
    const uint16_t *near, *far;
} me_row_entries;

/* Replaces scores by exponentials: x = near[entry & 255] * far[entry >> 8] in Q15, entry =
 * min((min(largest - x >> drop, most) * mult + 2**14) >> 15, 65535), all unsigned. Returns their sum. */
uint32_t me_row_exponentials_h(int32_t *x, int32_t n, const me_row_entries *by);

/* Packs pairs of x >> drop into one word each; `to` may be x or before it. Returns the sum of the values. */
uint32_t me_row_packed(const int32_t *x, int32_t *to, int32_t pairs, int32_t drop);

/* to = (x + add) >> drop for pairs of int16 or int8 values */
void me_row_of_halves(const int16_t *x, int16_t *to, int32_t pairs, int32_t add, int32_t drop);
void me_row_of_bytes(const int8_t *x, int16_t *to, int32_t pairs, int32_t add, int32_t drop);

/* Parameters that requantise sums; factor is below 2**16. me_attention_s16_rows.S knows these offsets. */
typedef struct {
    int32_t down, factor, half, shift, zero, low, high;
} me_row_scale;

/* y = clip((((x >> down) * factor >> 16) + half >> shift) + zero), with a 64-bit product */
void me_row_scaled_halves(const int32_t *x, int16_t *y, int32_t n, const me_row_scale *by);
void me_row_scaled_bytes(const int32_t *x, int8_t *y, int32_t n, const me_row_scale *by);

#endif
