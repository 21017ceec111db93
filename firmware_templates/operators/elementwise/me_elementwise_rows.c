/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

/* Literal limits are one instruction on some cores. */
static inline void add_words(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y,
                             int32_t words, int32_t a_step, int32_t b_step, int32_t low, int32_t high)
{
    const int32_t offset = op->offset, a_mult = op->a_mult, b_mult = op->b_mult, shift = op->shift;
    for (int32_t i = 0; i < words; i++, a += a_step, b += b_step)
        for (int32_t j = 0; j < 4; j++) {
            const int32_t sum = me_mac(me_mac(offset, a[j], a_mult), b[j], b_mult);
            *y++ = me_clip(sum >> shift, low, high);
        }
}

void me_add_words(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                  int32_t a_step, int32_t b_step)
{
    const int32_t low = op->scale.low, high = op->scale.high;
    if (low == -128 && high == 127)
        add_words(op, a, b, y, words, a_step, b_step, -128, 127);
    else
        add_words(op, a, b, y, words, a_step, b_step, low, high);
}

void me_add_words_8(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                    int32_t a_step, int32_t b_step)
{
    me_add_words(op, a, b, y, words, a_step, b_step);
}

void me_add_words_24(const me_add_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                     int32_t a_step, int32_t b_step)
{
    me_add_words(op, a, b, y, words, a_step, b_step);
}

/* Position in a block: the addresses at which an iteration of the middle loop starts, and the loop
 * indices. */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t turn, run;
} loop_position;

static loop_position first_iteration(const me_word_loops *block)
{
    return (loop_position){ block->a, block->b, block->y, 0, 0 };
}

static void next_iteration(const me_word_loops *block, loop_position *at)
{
    at->a += block->a_turn + (block->order ? 0 : block->words * block->a_word);
    at->b += block->b_turn + block->words * block->b_word;
    at->y += 4 * block->words;
    if (++at->turn < block->turns)
        return;
    at->a += block->a_run;
    at->b += block->b_run;
    at->y += block->y_run;
    at->turn = 0;
    at->run++;
}

void me_add_word_loops(const void *params, const me_word_loops *block)
{
    const me_add_s8_params *op = params;
    const int32_t a_mult = block->swapped ? op->b_mult : op->a_mult;
    const int32_t b_mult = block->swapped ? op->a_mult : op->b_mult;
    for (loop_position at = first_iteration(block); at.run < block->runs; next_iteration(block, &at))
        for (int32_t i = 0; i < 4 * block->words; i++) {
            const int32_t sum = me_mac(op->offset, me_byte_of_a(block, at.a, i / 4, i % 4), a_mult);
            const int32_t b = at.b[i / 4 * block->b_word + i % 4];
            at.y[i] = me_clip(me_mac(sum, b, b_mult) >> op->shift, op->scale.low, op->scale.high);
        }
}

void me_add_word_loops_8(const void *params, const me_word_loops *block) { me_add_word_loops(params, block); }

void me_add_word_loops_24(const void *params, const me_word_loops *block)
{
    me_add_word_loops(params, block);
}

void me_mul_words(const me_mul_s8_params *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t words,
                  int32_t a_step, int32_t b_step)
{
    const me_mul_s8_params k = *op; /* stores do not change it */
    for (int32_t i = 0; i < words; i++, a += a_step, b += b_step)
        for (int32_t j = 0; j < 4; j++) {
            const int32_t acc = (a[j] - k.a_zero) * (b[j] - k.b_zero);
            const int32_t q = me_requant(acc, k.scale.pre, k.mult, k.offset, k.shift);
            *y++ = me_clip(q, k.scale.low, k.scale.high);
        }
}

void me_mul_word_loops(const void *params, const me_word_loops *block)
{
    const me_mul_s8_params *op = params;
    const int32_t a_zero = block->swapped ? op->b_zero : op->a_zero;
    const int32_t b_zero = block->swapped ? op->a_zero : op->b_zero;
    for (loop_position at = first_iteration(block); at.run < block->runs; next_iteration(block, &at))
        for (int32_t i = 0; i < 4 * block->words; i++) {
            const int32_t b = at.b[i / 4 * block->b_word + i % 4] - b_zero;
            const int32_t acc = (me_byte_of_a(block, at.a, i / 4, i % 4) - a_zero) * b;
            const int32_t q = me_requant(acc, op->scale.pre, op->mult, op->offset, op->shift);
            at.y[i] = me_clip(q, op->scale.low, op->scale.high);
        }
}

void me_add_s16_row(const me_add_s16_params *op, const void *a, const void *b, void *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t left = op->a_wide ? ((const int16_t *)a)[i] : ((const int8_t *)a)[i];
        const int32_t right = op->b_wide ? ((const int16_t *)b)[i] : ((const int8_t *)b)[i];
        const int32_t sum = me_mac(me_mac(op->offset, left, op->a_mult), right, op->b_mult) >> op->shift;
        const int32_t limited = me_min(me_max(sum, op->low), op->high);
        if (op->y_wide)
            ((int16_t *)y)[i] = (int16_t)limited;
        else
            ((int8_t *)y)[i] = (int8_t)limited;
    }
}

#endif
