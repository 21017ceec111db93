/* SPDX-License-Identifier: Apache-2.0
 * Attention of some heads in L1: rows of queries with their keys and values, all of them or one part per
 * call: first the parts of the keys, in order, then the parts of the values, with the same rows and
 * scratch. Cores 0 .. 7 call it and share its work; there are barriers inside, but none at the end.
 */
#ifndef ME_ATTENTION_H
#define ME_ATTENTION_H

#include <stdint.h>

/* keys, width      k is [keys][heads][width], q is [rows][heads][width]
 * out_width        v is [heads][out_width][keys], with the keys of a column contiguous and padded to
 *                  whole words
 * before, after    row i attends to the keys i - before .. i + after
 * half .. shift    entry of exp = min(largest + half - score, most) * mult >> shift
 * bias_*           added to a score: bias * bias_mult >> bias_shift
 * flat             whether a fully masked row gets equal weights instead of the softmax of its scores
 * share .. out_shift   y = clip(((acc >> (top - 7)) * (share / sum') + offset) >> out_shift), top the
 *                  highest bit of the row's sum and sum' the sum with bit 15 as its highest. With 12-bit
 *                  exponentials, the first shift rounds to nearest instead of down
 * exp          table of exponentials, in bytes; 12-bit exponentials: 4,096 lower bytes, then 4,096
 *              upper bytes; the last 36 entries are 0
 * units        12-bit exponentials: difference of scores between two entries; 0 if most + 36 * units
 *              exceeds int32
 * nine_cores   whether core 8 also calls the kernel
 * y_wide       whether y is int16
 * width and out_width are multiples of 4. */
typedef struct {
    int32_t keys, width, out_width, before, after;
    int32_t half, most, mult, shift, bias_mult, bias_shift, share, offset, out_shift;
    const uint8_t *exp;
    int32_t flat, nine_cores, y_wide, units;
} me_attention_s8_params;

/* first_row   index of the tile's first row
 * bias, mask  [rows][all keys], or 0; a key is masked if its mask value is negative
 * heads       heads of q, k, v and y
 * bias_step, mask_step   byte strides of heads
 * keys, first_key       number of keys in k, and index of the first
 * values, first_value   number of keys in v (bytes per row), and index of the first
 * scratch     me_attention_scratch_bytes bytes (me_attention_softmax.h); it and q, k, v are aligned to 4
 * first_key, first_value and values are multiples of 4; so is keys, except in the last part. y is
 * written with the last part of the values. */
typedef struct {
    const int8_t *q, *k, *v, *bias, *mask;
    int8_t *y, *scratch;
    int32_t rows, first_row, keys, first_key, values, first_value, heads, bias_step, mask_step;
} me_attention_s8_tile;

/* Attention of each head: y = softmax(q k^T + bias) v, of int8 [rows][heads][width] to int8, or int16 if y_wide,
 * [rows][heads][out_width], by the formulas of me_attention_s8_params.
 * keys 1 to 4,096; mult 1 to 32,767; most * mult inside int32; bias_mult 0 to 2^21; shift 0 to 31, bias_shift 0 to 30;
 * share 0 to 2^29; out_shift 0 to 23; a difference of two scores stays inside int32. */
void me_attention_s8(const me_attention_s8_params *op, const me_attention_s8_tile *tile);

typedef me_attention_s8_params me_attention_exp12_s8_params;
typedef me_attention_s8_tile me_attention_exp12_s8_tile;

/* As me_attention_s8 with 12-bit exponentials, and the same ranges. */
void me_attention_exp12_s8(const me_attention_exp12_s8_params *op, const me_attention_exp12_s8_tile *tile);

#endif
