/* SPDX-License-Identifier: Apache-2.0
 * Attention on NE16, of one head whose keys and values stay in L1 as bit planes. All nine cores call it
 * together, tile by tile: first they pack keys and values, then the engine multiplies parts of the rows
 * while the cores compute exponentials and results of parts before.
 */
#ifndef ME_NE16_ATTENTION_RESIDENT_S8_H
#define ME_NE16_ATTENTION_RESIDENT_S8_H

#include "me_attention.h"

/* before and after cover all keys; nine_cores is 1 */
typedef me_attention_s8_params me_ne16_attention_resident_s8_params;

/* A tile is the steps [first, end) of a head. The first `packings` = ceil(keys / 16) pack 16 keys and
 * 16 values each. Step packings - 1 + i takes part i of q, of part_rows rows; its scores are computed
 * one step later, its exponentials two steps later (reading bias and mask), and its results are written
 * four steps later.
 * k, v, q, bias, mask, y   what these steps read and write; v is out_width rows of 16 values a step
 * rows        of the head
 * scratch     kept from the first tile of a head to its last; two parts: scores, after a row's its
 *             sums of values; divisors of 8 bytes for each row; rows of q, unsigned
 *             terms of 4 bytes for each key; multipliers of a byte for each; the number of a job
 *             a copy of exp for each core, 516 bytes apart, of bytes only
 *             bit planes: keys rows of width, out_width rows of keys, each up to 16 bytes */
typedef struct {
    const int8_t *q, *k, *v, *bias, *mask;
    int8_t *y, *scratch;
    int32_t first, end, rows, part_rows;
} me_ne16_attention_resident_s8_tile;

/* y = softmax(q k^T + bias) v of int8 to int8 (y_wide is 0), with the integers and ranges of
 * me_attention_s8. Barriers are inside. */
void me_ne16_attention_resident_s8(const me_ne16_attention_resident_s8_params *op,
                                   const me_ne16_attention_resident_s8_tile *tile);

typedef me_ne16_attention_resident_s8_params me_ne16_attention_resident_exp12_s8_params;
typedef me_ne16_attention_resident_s8_tile me_ne16_attention_resident_exp12_s8_tile;

/* As me_ne16_attention_resident_s8 with 12-bit exponentials, and the same ranges. */
void me_ne16_attention_resident_exp12_s8(const me_ne16_attention_resident_exp12_s8_params *op,
                                         const me_ne16_attention_resident_exp12_s8_tile *tile);

#endif
