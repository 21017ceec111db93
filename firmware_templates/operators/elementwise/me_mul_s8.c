/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include "me_broadcast.h"
#include "me_elementwise_rows.h"
#include "me_math.h"

static void mul_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                    int32_t a_step, int32_t b_step)
{
    const me_mul_s8_params *op = params;
    const me_scale *scale = &op->scale;
    const int32_t words = n / 4;
    _Alignas(4) int8_t same_a[4], same_b[4];
    const int8_t *from_a = me_word_or_row(a, a_step, same_a), *from_b = me_word_or_row(b, b_step, same_b);
    if (words > 0)
        me_mul_words(op, from_a, from_b, y, words, 4 * a_step, 4 * b_step);
    for (int32_t i = 4 * words; i < n; i++) {
        const int32_t acc = (a[i * a_step] - op->a_zero) * (b[i * b_step] - op->b_zero);
        y[i] = me_clip(me_requant(acc, scale->pre, op->mult, op->offset, op->shift), scale->low, scale->high);
    }
}

void me_mul_s8(const me_mul_s8_params *op, const me_mul_s8_tile *tile)
{
    me_each_row(tile, mul_row, me_mul_word_loops, op, op->scale.table);
}
