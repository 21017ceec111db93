/* SPDX-License-Identifier: Apache-2.0
 * Attention of some heads: rows of queries in L1 with their keys and values, or a part of these at a
 * time: first keys, from the first to the last, then values, with the same rows and scratch. All of
 * cores 0 .. 7 call it and share its work; barriers are inside, none is at the end.
 */
#ifndef ME_ATTENTION_H
#define ME_ATTENTION_H

#include <stdint.h>

/* keys, width      k is keys x heads x width, q rows x heads x width
 * out_width        v is heads x out_width x keys, the keys of a column side by side and filled to words
 * before, after    row i of all sees keys i - before .. i + after
 * half .. shift    entry of exp = min(largest + half - score, most) * mult >> shift
 * bias_*           added to a score: bias * bias_mult >> bias_shift
 * flat             whether a row of hidden keys has equal shares, not those of its scores
 * share .. out_shift   y = clip(((acc >> (top - 7)) * (share / sum') + offset) >> out_shift), top the
 *                  highest bit of the row's sum and sum' the sum with bit 15 as its highest
 *              of exponentials of 12 bits acc is rounded: half of what the first shift takes is added
 * exp          exponentials, bytes; of 12 bits 4,096 lower bytes, then as many upper ones, of the last 36 entries 0
 * units        of 12 bits: how far scores of two entries are apart, 0 if most + 36 of it is too large a number
 * nine_cores   core 8 calls it as well      y_wide   whether y is int16
 * width and out_width are multiples of 4. */
typedef struct {
    int32_t keys, width, out_width, before, after;
    int32_t half, most, mult, shift, bias_mult, bias_shift, share, offset, out_shift;
    const uint8_t *exp;
    int32_t flat, nine_cores, y_wide, units;
} me_attention_s8_params;

/* first_row   number of the first of these rows among all      bias, mask   rows x all keys, or 0
 *             a key is hidden where mask is below 0
 * heads       of q, k, v and y      bias_step, mask_step   bytes from those of a head to the next one's
 * keys, first_key       those in k: how many, and the first of them
 * values, first_value   those in v, as bytes of a row: how many, and the first of them
 * scratch     me_attention_scratch_bytes bytes (me_attention_softmax.h); it and q, k, v are aligned to 4
 * first_key, first_value and values are multiples of 4; keys is, but where they are the last. What
 * a row has not seen a key of yet is no result: y is written with the last values. */
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

/* The same with exponentials of 12 bits, and the same ranges. */
void me_attention_exp12_s8(const me_attention_exp12_s8_params *op, const me_attention_exp12_s8_tile *tile);

#endif
