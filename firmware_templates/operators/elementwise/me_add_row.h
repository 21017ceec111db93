/* SPDX-License-Identifier: Apache-2.0
 * The sum of two rows: what me_add_s8 and me_affine_s8 have in common.
 */
#ifndef ME_ADD_ROW_H
#define ME_ADD_ROW_H

#include "me_broadcast.h"
#include "me_elementwise_rows.h"
#include "me_math.h"

/* A row kernel (me_broadcast.h) whose params are me_add_s8_params. */
void me_add_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n, int32_t a_step,
                int32_t b_step);

/* `bits` of me_add_s8_params. */
static inline int32_t me_sum_bits(int32_t a_mult, int32_t b_mult, int32_t offset)
{
    const uint32_t mults = (uint32_t)me_abs(a_mult) + (uint32_t)me_abs(b_mult);
    if (me_extbs(a_mult) == a_mult && me_extbs(b_mult) == b_mult)
        return 8;
    return 128u * mults + (uint32_t)me_abs(offset) < 1u << 23 ? 24 : 32;
}

/* me_add_row, inline: me_affine_s8 calls it for rows as short as a channel, with constant steps. */
static inline void me_add_row_inline(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y,
                                     int32_t n, int32_t a_step, int32_t b_step)
{
    const int32_t words = n / 4;
    _Alignas(4) int8_t same_a[4], same_b[4];
    const int8_t *from_a = me_word_or_row(a, a_step, same_a), *from_b = me_word_or_row(b, b_step, same_b);
    if (words > 0)
        (op->bits == 8        ? me_add_words_8
             : op->bits == 24 ? me_add_words_24
                              : me_add_words)(op, from_a, from_b, y, words, 4 * a_step, 4 * b_step);
    for (int32_t i = 4 * words; i < n; i++) {
        const int32_t sum = me_mac(op->offset, a[i * a_step], op->a_mult);
        y[i] = me_clip(me_mac(sum, b[i * b_step], op->b_mult) >> op->shift, op->scale.low, op->scale.high);
    }
}

#endif
