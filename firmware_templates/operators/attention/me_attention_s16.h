/* SPDX-License-Identifier: Apache-2.0
 * Attention of some heads with int16 queries, keys, values or bias, in parts as in me_attention.h: first
 * the parts of the keys, in order, then those of the values, with the same rows and scratch. Cores 0 .. 7
 * call it and share its work; there are barriers inside, but none at the end.
 */
#ifndef ME_ATTENTION_S16_H
#define ME_ATTENTION_S16_H

#include <stdint.h>

/* Exponentials of distances d from a row's maximum: near[d & 255] * far[d >> 8], tables of 256 Q15 values
 * each. */
typedef struct {
    const uint16_t *near, *far;
} me_exponentials;

/* *_wide       int16, otherwise int8      keys .. after   as me_attention_s8_params has them
 * *_drop       right shift of the operand, with rounding, so that sums of products fit in 31 bits
 * bias_*       added to a score: bias * bias_mult >> bias_shift
 * distance_drop .. most  entry of exp = min((min(largest - score >> distance_drop, most) * mult + 2**14) >> 15, 65535),
 *              unsigned
 * flat         whether a fully masked row gets equal weights instead of the softmax of its scores
 * share, out_shift, zero   y = clip(((acc >> (top - 14)) * (share / sum') >> 16) + half >> out_shift) + zero),
 *              top the highest bit of the sum of exponentials and sum' that sum with bit 15 as its highest
 * width and out_width are multiples of 4. */
typedef struct {
    int32_t keys, width, out_width, before, after;
    int32_t q_wide, k_wide, v_wide, bias_wide, y_wide, q_drop, k_drop, v_drop, v_zero;
    int32_t bias_mult, bias_shift, distance_drop, mult, most, share, out_shift, zero, low, high, flat;
    me_exponentials exp;
} me_attention_s16_params;

/* q, k, v, bias, mask, y   as me_attention_s8_tile has them; int16 operands are aligned to 4; mask may
 *                          have any address
 * *_step       element stride of heads
 * scratch      aligned to 4: scores [heads][rows, to a multiple of 4], then the rows' divisors, then
 *              int16 copies of those of q, k and v that are int8 or have a zero point or bits to drop */
typedef struct {
    const void *q, *k, *v, *bias;
    const int8_t *mask;
    void *y;
    int8_t *scratch;
    int32_t rows, first_row, keys, first_key, values, first_value, heads, bias_step, mask_step;
} me_attention_s16_tile;

/* Attention of each head: y = softmax(q k^T + bias) v, of int8 or int16 to int8 or int16, as *_wide say, by the
 * formulas of me_attention_s16_params. keys 1 to 4,096; *_drop 0 to 15; bias_mult 0 to 2^22 of int8 and 2^14 of
 * int16; bias_shift, out_shift 0 to 30; distance_drop 0 to 31; mult at least 1; share 0 to 2^31 - 1. */
void me_attention_s16(const me_attention_s16_params *op, const me_attention_s16_tile *tile);

#endif
