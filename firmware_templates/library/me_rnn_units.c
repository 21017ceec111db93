/* SPDX-License-Identifier: Apache-2.0 */
#include "me_rnn_units.h"

#include "me_intrinsics.h"
#include "me_math.h"

static inline int8_t rnn_unit(const me_units *some, const me_channel *to, int32_t now, int32_t acc)
{
    const me_recurrent_params *op = some->layer;
    const int32_t added = me_clips(me_requant(acc + to->bias, some->pre, to->mult, to->offset, to->shift), 16);
    const int32_t sum = me_clips(((now * op->x_mult + op->x_offset) >> op->x_shift) + added, 16);
    const int32_t result = op->relu ? me_max(sum, 0) : me_between(op->tanh, sum, 5);
    return me_clip8((result * op->y_mult + op->y_offset) >> op->y_shift);
}

static void four_products(const me_units *some, const int8_t *row, int32_t *sum)
{
    const int32_t words = some->words;
    const int8_t *h = some->h, *rows[4] = { row, row + 4 * words, row + 8 * words, row + 12 * words };
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (int32_t word = 0; word < words; word++) {
        const uint32_t taps = me_next_w(&h);
        a = me_sdotsp_b(a, taps, me_next_w(&rows[0]));
        b = me_sdotsp_b(b, taps, me_next_w(&rows[1]));
        c = me_sdotsp_b(c, taps, me_next_w(&rows[2]));
        d = me_sdotsp_b(d, taps, me_next_w(&rows[3]));
    }
    sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d;
}

static int32_t product(const me_units *some, const int8_t *row)
{
    const int8_t *h = some->h;
    int32_t sum = 0;
    for (int32_t word = 0; word < some->words; word++)
        sum = me_sdotsp_b(sum, me_next_w(&h), me_next_w(&row));
    return sum;
}

void me_rnn_units(const me_units *some)
{
    const int32_t row = 4 * some->words;
    int32_t sum[4], unit = 0;
    for (; unit < some->units - 3; unit += 4) {
        four_products(some, some->weights + row * unit, sum);
        for (int32_t i = unit; i < unit + 4; i++)
            some->to[i] = some->y[i] = rnn_unit(some, some->channels + i, some->now[i], sum[i - unit]);
    }
    for (; unit < some->units; unit++) {
        const int32_t acc = product(some, some->weights + row * unit);
        some->to[unit] = some->y[unit] = rnn_unit(some, some->channels + unit, some->now[unit], acc);
    }
}
