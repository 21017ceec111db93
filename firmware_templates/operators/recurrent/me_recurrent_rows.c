/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent_rows.h"

#include "me_intrinsics.h"
#include "me_math.h"

#define INLINE static inline __attribute__((always_inline))

/* Type of h, its products and the results: int8; int8 with an unsigned h; int16. */
enum { SIGNED, UNSIGNED, WIDE };

INLINE int32_t dot(int32_t form, int32_t sum, uint32_t h, uint32_t weights)
{
    if (form == WIDE)
        return me_sdotsp_h(sum, h, weights);
    return form == UNSIGNED ? me_sdotusp_b(sum, h, weights) : me_sdotsp_b(sum, h, weights);
}

INLINE void put(const me_units *some, int32_t unit, int32_t h, int32_t form)
{
    if (form == WIDE) {
        ((int16_t *)(void *)some->to)[unit] = ((int16_t *)(void *)some->y)[unit] = (int16_t)me_clips(h, 16);
        return;
    }
    const int8_t y = me_clip8(h);
    some->y[unit] = y;
    some->to[unit] = form == UNSIGNED ? (int8_t)(y ^ -128) : y;
}

/* -> the requantised sum of products, which is added to its gate */
INLINE int32_t requantise(const me_units *some, int32_t gate, int32_t sum)
{
    const me_channel *to = some->channels + gate;
    return me_clips(me_requant(sum + to->bias, some->pre, to->mult, to->offset, to->shift), 16);
}

/* ---- plain layers */

/* -> h, not yet limited */
INLINE int32_t rnn_unit(const me_units *some, int32_t unit, int32_t sum)
{
    const me_recurrent_params *op = some->layer;
    const int32_t now = (some->now[unit] * op->x_mult + op->x_offset) >> op->x_shift;
    const int32_t x = me_clips(now + requantise(some, unit, sum), 16);
    const int32_t result = op->relu ? me_max(x, 0) : me_between(op->tanh, x, 5);
    return (result * op->y_mult + op->y_offset) >> op->y_shift;
}

INLINE void run_rnn(const me_units *some, int32_t form)
{
    const int32_t words = some->words;
    int32_t unit = 0;
    for (; unit < some->units - 3; unit += 4) {
        const int8_t *h = some->h, *row = some->weights + 4 * words * unit;
        const int8_t *rows[4] = { row, row + 4 * words, row + 8 * words, row + 12 * words };
        int32_t a = 0, b = 0, c = 0, d = 0;
        for (int32_t word = 0; word < words; word++) {
            const uint32_t taps = me_next_w(&h);
            a = dot(form, a, taps, me_next_w(&rows[0]));
            b = dot(form, b, taps, me_next_w(&rows[1]));
            c = dot(form, c, taps, me_next_w(&rows[2]));
            d = dot(form, d, taps, me_next_w(&rows[3]));
        }
        const int32_t sum[4] = { a, b, c, d };
        for (int32_t i = unit; i < unit + 4; i++)
            put(some, i, rnn_unit(some, i, sum[i - unit]), form);
    }
    for (; unit < some->units; unit++) {
        const int8_t *h = some->h, *row = some->weights + 4 * words * unit;
        int32_t sum = 0;
        for (int32_t word = 0; word < words; word++)
            sum = dot(form, sum, me_next_w(&h), me_next_w(&row));
        put(some, unit, rnn_unit(some, unit, sum), form);
    }
}

void me_rnn_units(const me_units *some) { run_rnn(some, SIGNED); }
void me_rnn_wide_units(const me_units *some) { run_rnn(some, WIDE); }

#if !defined ME_GAP9 || defined ME_SDK

/* ---- LSTM and GRU */

/* The gates of a unit: contributions of this step's input, and of h. */
typedef struct {
    int32_t x[4], h[4];
} gate_sums;

/* Adds the products of words of x with 3 or 4 packed rows to their sums, which stay in registers. */
INLINE void add_rows(int32_t form, const int8_t *x, const int8_t *weights, int32_t words, int32_t rows,
                     int32_t *sum)
{
    int32_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];
    for (int32_t word = 0; word < words; word++) {
        const uint32_t taps = me_next_w(&x);
        a = dot(form, a, taps, me_next_w(&weights));
        b = dot(form, b, taps, me_next_w(&weights));
        c = dot(form, c, taps, me_next_w(&weights));
        if (rows == 4)
            d = dot(form, d, taps, me_next_w(&weights));
    }
    sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d;
}

INLINE gate_sums gate_sums_of(const me_units *some, int32_t unit, int32_t gates, int32_t form)
{
    const int8_t *h = some->h, *weights = some->weights + 4 * gates * some->words * unit;
    gate_sums of = { { 0 }, { 0 } };
    for (int32_t gate = 0; some->words == 0 && gate < gates; gate++)
        of.h[gate] = ((const int32_t *)(const void *)h)[gates * unit + gate];
    add_rows(form, h, weights, some->words, gates, of.h);
    for (int32_t gate = 0; gate < gates; gate++) {
        of.x[gate] = some->now[gates * unit + gate];
        of.h[gate] = requantise(some, gates * unit + gate, of.h[gate]);
    }
    return of;
}

static int32_t rounding_shift(int32_t x, int32_t bits) { return (x + (1 << bits >> 1)) >> bits; }

/* -> h; updates *c */
static int32_t lstm_unit(const me_units *some, const gate_sums *of, int16_t *c, int32_t gate_bits,
                         int32_t cell_bits, int32_t result_shift)
{
    int32_t gate[4];
    for (int32_t i = 0; i < 4; i++)
        gate[i] = me_between((i == 2 ? some->tanh : some->sigmoid) - 256, of->x[i] + of->h[i],
                             gate_bits - (i == 2 ? 5 : 4));
    const int32_t more = gate[0] * gate[2] >> (15 - cell_bits);
    *c = (int16_t)me_clips(rounding_shift(gate[1] * *c + more, 15), 16);
    return rounding_shift(gate[3] * me_between(some->tanh - 256, *c, cell_bits - 5), result_shift);
}

INLINE void run_lstm(const me_units *some, int32_t form, int32_t scaled)
{
    const me_recurrent_params *op = some->layer;
    for (int32_t unit = 0; unit < some->units; unit++) {
        const gate_sums of = gate_sums_of(some, unit, 4, form);
        const int32_t h =
            lstm_unit(some, &of, some->state + unit, scaled ? op->gate_bits : 10, scaled ? op->cell_bits : 11,
                      scaled || form == WIDE ? op->result_shift : 23);
        put(some, unit, h, form);
    }
}

void me_lstm_units(const me_units *some) { run_lstm(some, SIGNED, 0); }
void me_lstm_unsigned_units(const me_units *some) { run_lstm(some, UNSIGNED, 0); }
void me_lstm_wide_units(const me_units *some) { run_lstm(some, WIDE, 0); }
void me_lstm_scaled_units(const me_units *some) { run_lstm(some, SIGNED, 1); }
void me_lstm_scaled_unsigned_units(const me_units *some) { run_lstm(some, UNSIGNED, 1); }
void me_lstm_scaled_wide_units(const me_units *some) { run_lstm(some, WIDE, 1); }

static int32_t sigmoid_of_gate(const me_units *some, const gate_sums *of, int32_t gate)
{
    return me_between(some->sigmoid - 256, of->x[gate] + of->h[gate], 6);
}

/* -> the 16-bit h in the type in which it is multiplied */
static int32_t h_as_multiplied(int32_t h, int32_t form) { return form == WIDE ? h : rounding_shift(h, 7); }

/* Updates a GRU's state. x: input of the new gate, whose table output has twice the range of the state */
static void update_state(const me_units *some, int32_t unit, int32_t x, int32_t update, int32_t form)
{
    const me_recurrent_params *op = some->layer;
    const int32_t q15 = me_between(some->tanh - 256, x, 5), old = some->state[unit];
    const int32_t new = form == WIDE ? me_clips((q15 * op->new_mult + op->new_offset) >> op->new_shift, 16)
                                     : rounding_shift(q15, 1);
    some->state[unit] = (int16_t)me_clips(new + rounding_shift(update * (old - new), 15), 15);
    put(some, unit, h_as_multiplied(some->state[unit], form), form);
}

INLINE void run_gru(const me_units *some, int32_t form)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        const gate_sums of = gate_sums_of(some, unit, 3, form);
        update_state(some, unit, of.x[2] + rounding_shift(sigmoid_of_gate(some, &of, 0) * of.h[2], 15),
                     sigmoid_of_gate(some, &of, 1), form);
    }
}

void me_gru_units(const me_units *some) { run_gru(some, SIGNED); }
void me_gru_unsigned_units(const me_units *some) { run_gru(some, UNSIGNED); }
void me_gru_wide_units(const me_units *some) { run_gru(some, WIDE); }

INLINE void run_reset(const me_units *some, int32_t form)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        const gate_sums of = gate_sums_of(some, unit, 3, form);
        put(some, unit,
            h_as_multiplied(rounding_shift(sigmoid_of_gate(some, &of, 0) * some->state[unit], 15), form),
            form);
        some->keep[unit] = (int16_t)sigmoid_of_gate(some, &of, 1);
    }
}

INLINE void run_update(const me_units *some, int32_t form)
{
    for (int32_t unit = 0; unit < some->units; unit++) {
        const gate_sums of = gate_sums_of(some, unit, 3, form);
        update_state(some, unit, of.x[2] + of.h[2], some->keep[unit], form);
    }
}

void me_gru_reset_units(const me_units *some) { run_reset(some, SIGNED); }
void me_gru_reset_wide_units(const me_units *some) { run_reset(some, WIDE); }
void me_gru_renew_units(const me_units *some) { run_update(some, SIGNED); }
void me_gru_renew_wide_units(const me_units *some) { run_update(some, WIDE); }

/* ---- gates from the inputs of all steps */

void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum)
{
    add_rows(SIGNED, x, weights, words, 4, sum);
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
