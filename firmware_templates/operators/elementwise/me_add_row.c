/* SPDX-License-Identifier: Apache-2.0 */
#include "me_add_row.h"

#include "me_broadcast.h"
#include "me_elementwise_rows.h"

void me_add_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n, int32_t a_step,
                int32_t b_step)
{
    const me_add_s8_params *op = params;
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
