/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum)
{
    for (int32_t word = 0; word < words; word++) {
        const uint32_t taps = me_next_w(&x);
        for (int32_t row = 0; row < 4; row++)
            sum[row] = me_sdotsp_b(sum[row], taps, me_next_w(&weights));
    }
}

typedef int32_t dot(int32_t sum, uint32_t h, uint32_t weights);

static int32_t signed_dot(int32_t sum, uint32_t h, uint32_t weights) { return me_sdotsp_b(sum, h, weights); }

static int32_t wide_dot(int32_t sum, uint32_t h, uint32_t weights) { return me_sdotsp_h(sum, h, weights); }

static int32_t unsigned_dot(int32_t sum, uint32_t h, uint32_t weights)
{
    return me_sdotusp_b(sum, h, weights);
}

static void multiply(const me_units *some, int32_t unit, int32_t gates, dot *add, int32_t *sum)
{
    const int8_t *h = some->h, *weights = some->weights + 4 * gates * some->words * unit;
    for (int32_t row = 0; row < gates; row++)
        sum[row] = 0;
    for (int32_t word = 0; word < some->words; word++) {
        const uint32_t taps = me_next_w(&h);
        for (int32_t row = 0; row < gates; row++)
            sum[row] = add(sum[row], taps, me_next_w(&weights));
    }
}

static void requantise(const me_units *some, int32_t unit, int32_t gates, int32_t *sum)
{
    const me_channel *to = some->channels + gates * unit;
    for (int32_t row = 0; row < gates; row++) {
        const int32_t x = sum[row] + to[row].bias;
        sum[row] = me_clips(me_requant(x, some->pre, to[row].mult, to[row].offset, to[row].shift), 16);
    }
}

/* What h adds to the gates of a unit. */
static void add_products(const me_units *some, int32_t unit, int32_t gates, dot *add, int32_t *sum)
{
    multiply(some, unit, gates, add, sum);
    requantise(some, unit, gates, sum);
}

static int32_t sigmoid(const me_units *some, int32_t x) { return me_between(some->sigmoid - 256, x, 6); }

/* h in Q30; c is renewed. */
static int32_t lstm_result(const me_units *some, const int16_t *now, const int32_t *sum, int16_t *cell)
{
    const int32_t in = sigmoid(some, now[0] + sum[0]), forget = sigmoid(some, now[1] + sum[1]);
    const int32_t added = me_between(some->tanh - 256, now[2] + sum[2], 5);
    const int32_t out = sigmoid(some, now[3] + sum[3]);
    *cell = (int16_t)me_clips((forget * *cell + (in * added >> 4) + (1 << 14)) >> 15, 16);
    return out * me_between(some->tanh - 256, *cell, 6);
}

static int8_t lstm_unit(const me_units *some, const int16_t *now, const int32_t *sum, int16_t *cell)
{
    return me_clip8((lstm_result(some, now, sum, cell) + (1 << 22)) >> 23);
}

static int16_t mixed(int32_t keep, int32_t state, int32_t new)
{
    return (int16_t)me_clips(new + ((keep * (state - new) + (1 << 14)) >> 15), 15);
}

static int8_t renewed_unit(const me_units *some, const int16_t *now, const int32_t *sum, int32_t keep,
                           int16_t *state)
{
    const int32_t new = (me_between(some->tanh - 256, now[2] + sum[2], 5) + 1) >> 1;
    *state = mixed(keep, *state, new);
    return me_clip8((*state + 64) >> 7);
}

static int8_t gru_unit(const me_units *some, const int16_t *now, const int32_t *sum, int16_t *state)
{
    const int32_t reset = sigmoid(some, now[0] + sum[0]), keep = sigmoid(some, now[1] + sum[1]);
    const int32_t old[3] = { 0, 0, (reset * sum[2] + (1 << 14)) >> 15 };
    return renewed_unit(some, now, old, keep, state);
}

static int8_t reset_unit(const me_units *some, const int16_t *now, const int32_t *sum, int32_t state)
{
    const int32_t reset = sigmoid(some, now[0] + sum[0]);
    return me_clip8((((reset * state + (1 << 14)) >> 15) + 64) >> 7);
}

void me_reset_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        const int16_t *now = some->now + 3 * unit;
        int32_t sum[3];
        add_products(some, unit, 3, signed_dot, sum);
        some->to[unit] = reset_unit(some, now, sum, some->state[unit]);
        some->keep[unit] = (int16_t)sigmoid(some, now[1] + sum[1]);
    }
}

void me_renew_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        const int16_t *now = some->now + 3 * unit;
        int32_t sum[3];
        add_products(some, unit, 3, signed_dot, sum);
        some->to[unit] = some->y[unit] = renewed_unit(some, now, sum, some->keep[unit], some->state + unit);
    }
}

void me_lstm_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[4];
        add_products(some, unit, 4, signed_dot, sum);
        some->to[unit] = some->y[unit] = lstm_unit(some, some->now + 4 * unit, sum, some->state + unit);
    }
}

/* What h, unsigned, adds to the gates of a unit, or without words its sums. */
static void add_unsigned_products(const me_units *some, int32_t unit, int32_t gates, int32_t *sum)
{
    const int32_t *sums = (const int32_t *)(const void *)some->h;
    multiply(some, unit, gates, unsigned_dot, sum);
    for (int32_t row = 0; some->words == 0 && row < gates; row++)
        sum[row] = sums[gates * unit + row];
    requantise(some, unit, gates, sum);
}

void me_lstm_unsigned_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[4];
        add_unsigned_products(some, unit, 4, sum);
        some->y[unit] = lstm_unit(some, some->now + 4 * unit, sum, some->state + unit);
        some->to[unit] = (int8_t)(some->y[unit] ^ -128);
    }
}

void me_gru_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[3];
        add_products(some, unit, 3, signed_dot, sum);
        some->to[unit] = some->y[unit] = gru_unit(some, some->now + 3 * unit, sum, some->state + unit);
    }
}

void me_gru_unsigned_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[3];
        add_unsigned_products(some, unit, 3, sum);
        some->y[unit] = gru_unit(some, some->now + 3 * unit, sum, some->state + unit);
        some->to[unit] = (int8_t)(some->y[unit] ^ -128);
    }
}

/* ---- h of int16 */

static void put(const me_units *some, int32_t unit, int32_t h)
{
    ((int16_t *)(void *)some->to)[unit] = ((int16_t *)(void *)some->y)[unit] = (int16_t)h;
}

void me_lstm_wide_units(const me_units *some)
{
    const int32_t shift = some->result_shift;
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[4];
        add_products(some, unit, 4, wide_dot, sum);
        const int32_t out = lstm_result(some, some->now + 4 * unit, sum, some->state + unit);
        put(some, unit, me_clips((out + (1 << shift >> 1)) >> shift, 16));
    }
}

/* new: what the new gate sees; its value reaches twice as far as the state does */
static void renew_wide(const me_units *some, int32_t unit, int32_t new, int32_t keep)
{
    const int32_t gate = me_between(some->tanh - 256, new, 5) * some->new_mult + some->new_offset;
    some->state[unit] = mixed(keep, some->state[unit], me_clips(gate >> some->new_shift, 16));
    put(some, unit, some->state[unit]);
}

void me_gru_wide_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        const int16_t *now = some->now + 3 * unit;
        int32_t sum[3];
        add_products(some, unit, 3, wide_dot, sum);
        const int32_t reset = sigmoid(some, now[0] + sum[0]), keep = sigmoid(some, now[1] + sum[1]);
        renew_wide(some, unit, now[2] + ((reset * sum[2] + (1 << 14)) >> 15), keep);
    }
}

void me_reset_wide_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        const int16_t *now = some->now + 3 * unit;
        int32_t sum[3];
        add_products(some, unit, 3, wide_dot, sum);
        const int32_t reset = sigmoid(some, now[0] + sum[0]);
        ((int16_t *)(void *)some->to)[unit] = (int16_t)((reset * some->state[unit] + (1 << 14)) >> 15);
        some->keep[unit] = (int16_t)sigmoid(some, now[1] + sum[1]);
    }
}

void me_renew_wide_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[3];
        add_products(some, unit, 3, wide_dot, sum);
        renew_wide(some, unit, some->now[3 * unit + 2] + sum[2], some->keep[unit]);
    }
}

/* ---- an LSTM with steps of its own */

static int32_t limited(int32_t x, int32_t limit) { return x < -limit ? -limit : x >= limit ? limit - 1 : x; }

/* Between two entries of a table, which are 2**bits of x apart. */
static int32_t scaled_between(const int16_t *middle, int32_t x, int32_t bits)
{
    const int32_t at = limited(x, 256 << bits);
    const int16_t *low = middle + (at >> bits);
    const int32_t part = (low[1] - low[0]) * (at & ((1 << bits) - 1));
    return low[0] + ((part + (1 << bits >> 1)) >> bits);
}

/* h in Q30; c is renewed. */
static int32_t scaled_result(const me_units *some, const int16_t *now, const int32_t *sum, int16_t *cell)
{
    const int32_t sigmoid_bits = some->layer->gate_bits - 4, cell_bits = some->layer->cell_bits;
    int32_t gate[4];
    for (int32_t i = 0; i < 4; i++) {
        const int16_t *middle = i == 2 ? some->tanh : some->sigmoid;
        gate[i] = scaled_between(middle, now[i] + sum[i], i == 2 ? sigmoid_bits - 1 : sigmoid_bits);
    }
    *cell =
        (int16_t)me_clips((gate[1] * *cell + (gate[0] * gate[2] >> (15 - cell_bits)) + (1 << 14)) >> 15, 16);
    return gate[3] * scaled_between(some->tanh, *cell, cell_bits - 5);
}

static int32_t scaled_hidden(const me_units *some, int32_t unit, const int32_t *sum)
{
    const int32_t shift = some->layer->result_shift;
    const int32_t out = scaled_result(some, some->now + 4 * unit, sum, some->state + unit);
    return (out + (1 << shift >> 1)) >> shift;
}

void me_lstm_scaled_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[4];
        add_products(some, unit, 4, signed_dot, sum);
        some->to[unit] = some->y[unit] = me_clip8(scaled_hidden(some, unit, sum));
    }
}

void me_lstm_scaled_unsigned_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[4];
        add_unsigned_products(some, unit, 4, sum);
        some->y[unit] = me_clip8(scaled_hidden(some, unit, sum));
        some->to[unit] = (int8_t)(some->y[unit] ^ -128);
    }
}

void me_lstm_scaled_wide_units(const me_units *some)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        int32_t sum[4];
        add_products(some, unit, 4, wide_dot, sum);
        put(some, unit, me_clips(scaled_hidden(some, unit, sum), 16));
    }
}

void me_linear_s8_s16_4x4(const me_linear_s8_s16_block *block)
{
    for (int32_t i = 0; i < 4 * block->blocks; i++) {
        const int32_t row = i % 4, at = i / 4;
        const me_channel *to = block->channels + 4 * at;
        int16_t *y = block->y + row * (block->y_stride / 2) + 4 * at;
        int32_t sum[4] = { to[0].bias, to[1].bias, to[2].bias, to[3].bias };
        me_four_sums(block->x + row * block->x_stride, block->weights + 16 * block->words * at, block->words,
                     sum);
        for (int32_t k = 0; k < 4; k++)
            y[k] =
                (int16_t)me_clips(me_requant(sum[k], block->pre, to[k].mult, to[k].offset, to[k].shift), 16);
    }
}

#endif
