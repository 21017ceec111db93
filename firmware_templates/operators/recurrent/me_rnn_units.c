/* SPDX-License-Identifier: Apache-2.0 */
#include "me_rnn_units.h"

#include "me_intrinsics.h"
#include "me_math.h"

#define INLINE static inline __attribute__((always_inline))

/* h, not yet limited */
INLINE int32_t rnn_unit(const me_units *some, const me_channel *to, int32_t now, int32_t acc)
{
    const me_recurrent_params *op = some->layer;
    const int32_t added =
        me_clips(me_requant(acc + to->bias, some->pre, to->mult, to->offset, to->shift), 16);
    const int32_t sum = me_clips(((now * op->x_mult + op->x_offset) >> op->x_shift) + added, 16);
    const int32_t result = op->relu ? me_max(sum, 0) : me_between(op->tanh, sum, 5);
    return (result * op->y_mult + op->y_offset) >> op->y_shift;
}

typedef int32_t dot(int32_t sum, uint32_t h, uint32_t weights);

INLINE int32_t byte_dot(int32_t sum, uint32_t h, uint32_t weights) { return me_sdotsp_b(sum, h, weights); }

INLINE int32_t half_dot(int32_t sum, uint32_t h, uint32_t weights) { return me_sdotsp_h(sum, h, weights); }

INLINE void four_products(const me_units *some, const int8_t *row, dot *add, int32_t *sum)
{
    const int32_t words = some->words;
    const int8_t *h = some->h, *rows[4] = { row, row + 4 * words, row + 8 * words, row + 12 * words };
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (int32_t word = 0; word < words; word++) {
        const uint32_t taps = me_next_w(&h);
        a = add(a, taps, me_next_w(&rows[0]));
        b = add(b, taps, me_next_w(&rows[1]));
        c = add(c, taps, me_next_w(&rows[2]));
        d = add(d, taps, me_next_w(&rows[3]));
    }
    sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d;
}

INLINE int32_t product(const me_units *some, const int8_t *row, dot *add)
{
    const int8_t *h = some->h;
    int32_t sum = 0;
    for (int32_t word = 0; word < some->words; word++)
        sum = add(sum, me_next_w(&h), me_next_w(&row));
    return sum;
}

INLINE void put(const me_units *some, int32_t unit, int32_t h, int32_t bytes)
{
    if (bytes == 1)
        some->to[unit] = some->y[unit] = me_clip8(h);
    else
        ((int16_t *)(void *)some->to)[unit] = ((int16_t *)(void *)some->y)[unit] = (int16_t)me_clips(h, 16);
}

INLINE void run_units(const me_units *some, dot *add, int32_t bytes)
{
    const int32_t row = 4 * some->words;
    int32_t sum[4], unit = 0;
    for (; unit < some->units - 3; unit += 4) {
        four_products(some, some->weights + row * unit, add, sum);
        for (int32_t i = unit; i < unit + 4; i++)
            put(some, i, rnn_unit(some, some->channels + i, some->now[i], sum[i - unit]), bytes);
    }
    for (; unit < some->units; unit++) {
        const int32_t acc = product(some, some->weights + row * unit, add);
        put(some, unit, rnn_unit(some, some->channels + unit, some->now[unit], acc), bytes);
    }
}

void me_rnn_units(const me_units *some) { run_units(some, byte_dot, 1); }

void me_rnn_wide_units(const me_units *some) { run_units(some, half_dot, 2); }
