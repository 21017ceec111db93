/* SPDX-License-Identifier: Apache-2.0
 * Attention on NE16, of one head with operands in L1, or of a part of its keys and values at a time, as
 * me_attention_s8 has it. Cores 0 .. 7 call it together: they pack keys and values into bit planes while
 * the engine multiplies the rows by those before, and compute exponentials and results.
 */
#ifndef ME_NE16_ATTENTION_S8_H
#define ME_NE16_ATTENTION_S8_H

#include "me_attention.h"

/* before and after cover all keys; nine_cores is 0 */
typedef me_attention_s8_params me_ne16_attention_s8_params;

/* scratch   for each row (rounded up to a multiple of 12): scores, later exponentials and sums; a
 *           divisor of 8 bytes 32 multipliers; rows of q, unsigned, up to whole words; a term of 4
 *           bytes for each of `keys` bit planes of `keys` rows of width, or out_width rows of `values`,
 *           each up to 16 bytes */
typedef me_attention_s8_tile me_ne16_attention_s8_tile;

/* y = softmax(q k^T + bias) v of int8 to int8 (y_wide is 0), with the integers and ranges of
 * me_attention_s8. Barriers are inside. */
void me_ne16_attention_s8(const me_ne16_attention_s8_params *op, const me_ne16_attention_s8_tile *tile);

typedef me_ne16_attention_s8_params me_ne16_attention_exp12_s8_params;
typedef me_ne16_attention_s8_tile me_ne16_attention_exp12_s8_tile;

/* As me_ne16_attention_s8 with 12-bit exponentials, and the same ranges. */
void me_ne16_attention_exp12_s8(const me_ne16_attention_exp12_s8_params *op,
                                const me_ne16_attention_exp12_s8_tile *tile);

#endif
