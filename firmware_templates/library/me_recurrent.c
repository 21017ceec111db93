/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent.h"

#include <stdbool.h>

#include "me_math.h"
#include "me_recurrent_rows.h"
#include "me_share.h"

#define ME_INLINE static inline __attribute__((always_inline))

ME_INLINE int32_t filled(int32_t bytes) { return (bytes + 3) / 4 * 4; }

ME_INLINE int16_t scaled(int32_t sum, int32_t pre, const me_channel *to)
{
    return (int16_t)me_clips(me_requant(sum, pre, to->mult, to->offset, to->shift), 16);
}

ME_INLINE void begin(const me_channel *channels, int32_t *sum)
{
    for (int32_t row = 0; row < 4; row++)
        sum[row] = channels[row].bias;
}

/* The taps behind the last whole word of a row. */
static void add_tail(const int8_t *x, int32_t c, const int8_t *weights, int32_t *sum)
{
    for (int32_t tap = c / 4 * 4; tap < c; tap++)
        for (int32_t k = 0; k < 4; k++)
            sum[k] += x[tap] * weights[c / 4 * 16 + 4 * k + tap % 4];
}

/* Some channels of a row. */
static void gates_row(const me_gates_block *block, int32_t c, int32_t row, int32_t channels)
{
    const int8_t *x = block->x + row * block->x_stride;
    int32_t sum[4];
    begin(block->channels, sum);
    if (block->words > 0)
        me_four_sums(x, block->weights, block->words, sum);
    if (c % 4)
        add_tail(x, c, block->weights, sum);
    for (int32_t k = 0; k < channels; k++)
        block->y[row * (block->y_stride / 2) + k] = scaled(sum[k], block->pre, &block->channels[k]);
}

/* Blocks of four channels, of up to four rows. */
static void gates_blocks(const me_gates *op, const me_gates_tile *tile, int32_t row, int32_t first, int32_t last)
{
    const int32_t c = op->c, k = tile->k, rows = tile->rows - row;
    const int32_t whole = rows >= 4 && c % 4 == 0 ? (last < k / 4 ? last : k / 4) : first;
    me_gates_block block = {
        tile->x + row * c, c, tile->weights + first * 4 * filled(c), c / 4, tile->channels + 4 * first,
        op->pre, tile->y + row * k + 4 * first, 2 * k, whole - first,
    };
    if (whole > first)
        me_gates_4x4(&block);
    for (int32_t at = whole; at < last; at++) {
        block.weights = tile->weights + at * 4 * filled(c);
        block.channels = tile->channels + 4 * at;
        block.y = tile->y + row * k + 4 * at;
        for (int32_t i = 0; i < rows && i < 4; i++)
            gates_row(&block, c, i, k - 4 * at < 4 ? k - 4 * at : 4);
    }
}

void me_gates_run(const me_gates *op, const me_gates_tile *tile)
{
    const int32_t blocks = (tile->k + 3) / 4, all = (tile->rows + 3) / 4 * blocks;
    const int32_t first = ME_FIRST(all), last = ME_LAST(all);
    int32_t group = first / blocks, block = first - group * blocks;
    for (int32_t left = last - first; left > 0; group++) {
        const int32_t end = block + left < blocks ? block + left : blocks;
        gates_blocks(op, tile, 4 * group, block, end);
        left -= end - block;
        block = 0;
    }
}

/* The states of all batches: h of one step, h of the next, and what has 16 bits; keep: what
 * me_units has, or 0. */
typedef struct {
    int8_t *from, *to;
    int16_t *wide, *keep;
} states;

ME_INLINE states states_of(const me_recurrent *op, int32_t step)
{
    const int32_t size = op->batch * filled(op->units);
    int8_t *h[2] = { op->states, op->states + size };
    return (states){ h[step % 2], h[(step + 1) % 2], (int16_t *)(void *)(op->states + 2 * size), 0 };
}

static int32_t started(int32_t x, int32_t mult, int32_t offset, int32_t shift)
{
    return (x * mult + offset) >> shift;
}

/* Of the state that is kept in 16 bits. */
static int32_t first_wide(const me_recurrent *op, const int8_t *states, int32_t i)
{
    return op->wide ? ((const int16_t *)(const void *)states)[i] : states[i];
}

static void start(const me_recurrent *op, bool lstm)
{
    const states s = states_of(op, 0);
    const int32_t row = filled(op->units);
    for (int32_t at = ME_FIRST(op->batch * row); at < ME_LAST(op->batch * row); at++) {
        const int32_t n = at / row, unit = at - n * row, i = n * op->units + unit;
        s.from[at] = s.to[at] = 0;
        if (unit >= op->units)
            continue;
        if (lstm) {
            const int32_t c = first_wide(op, op->c0, i);
            s.from[at] = me_clip8(started(op->h0[i], op->h_mult, op->h_offset, op->h_shift));
            s.wide[i] = (int16_t)me_clips(started(c, op->c_mult, op->c_offset, op->c_shift), 16);
        } else {
            const int32_t h = first_wide(op, op->h0, i);
            s.wide[i] = (int16_t)me_clips(started(h, op->h_mult, op->h_offset, op->h_shift), 15);
            s.from[at] = me_clip8((s.wide[i] + 64) >> 7);
        }
    }
    ME_SYNC();
}

/* ---- steps */

typedef void units_work(const me_units *);

/* This core's share of the units, and what is the same for all steps. */
ME_INLINE me_units units_of(const me_recurrent *op)
{
    const int32_t first = ME_FIRST(op->units);
    me_units some;
    some.words = filled(op->units) / 4;
    some.weights = op->weights + 16 * some.words * first;
    some.channels = op->channels + 4 * first;
    some.sigmoid = op->sigmoid + 256;
    some.tanh = op->tanh + 256;
    some.pre = op->pre;
    some.units = ME_LAST(op->units) - first;
    return some;
}

/* A step of these units in all batches; y may be 0. */
ME_INLINE void run_step(const me_recurrent *op, me_units *some, const states *s, const int16_t *now, int8_t *y,
                        int32_t gates, units_work *work)
{
    const int32_t first = ME_FIRST(op->units), row = 4 * some->words;
    for (int32_t n = 0; n < op->batch && some->units > 0; n++) {
        const int32_t unit = n * op->units + first;
        some->h = s->from + n * row;
        some->now = now + unit * gates;
        some->state = s->wide + unit;
        some->to = s->to + n * row + first;
        some->y = y ? y + unit : some->to;
        some->keep = s->keep ? s->keep + unit : 0;
        work(some);
    }
}

ME_INLINE void run(const me_recurrent *op, const me_recurrent_tile *tile, int8_t *y, int32_t gates, units_work *work)
{
    const int32_t all = op->batch * op->units;
    me_units some = units_of(op);
    if (tile->done == 0)
        start(op, gates == 4);
    for (int32_t step = 0; step < tile->steps; step++) {
        const states s = states_of(op, tile->done + step);
        const int32_t t = op->reverse ? tile->steps - 1 - step : step;
        run_step(op, &some, &s, tile->gates + t * all * gates, y ? y + t * all : 0, gates, work);
        ME_SYNC();
    }
}

void me_lstm_run(const me_recurrent *op, const me_recurrent_tile *tile)
{
    run(op, tile, tile->y, 4, me_lstm_units);
}

/* What has 16 bits, as it is behind these steps. */
static void put_state(const me_recurrent *op, const me_recurrent_tile *tile)
{
    const int16_t *state = states_of(op, 0).wide;
    const int32_t all = op->batch * op->units;
    int16_t *wide = (int16_t *)(void *)tile->y;
    for (int32_t i = ME_FIRST(all); i < ME_LAST(all); i++) {
        const int32_t y = started(state[i], op->y_mult, op->y_offset, op->y_shift);
        if (op->wide)
            wide[i] = (int16_t)me_clips(y, 16);
        else
            tile->y[i] = me_clip8(y);
    }
}

void me_lstm_cell_run(const me_recurrent *op, const me_recurrent_tile *tile)
{
    run(op, tile, 0, 4, me_lstm_units);
    put_state(op, tile);
}

void me_gru_run(const me_recurrent *op, const me_recurrent_tile *tile)
{
    run(op, tile, tile->y, 3, me_gru_units);
}

void me_gru_state_run(const me_recurrent *op, const me_recurrent_tile *tile)
{
    run(op, tile, 0, 3, me_gru_units);
    put_state(op, tile);
}

ME_INLINE void run_reset_first(const me_recurrent *op, const me_recurrent_tile *tile, int8_t *y)
{
    const int32_t row = filled(op->units), all = op->batch * op->units;
    int8_t *resets = op->states + me_states_bytes(op->batch, op->units);
    me_units some = units_of(op);
    int16_t *keeps = (int16_t *)(void *)(resets + op->batch * row);
    if (tile->done == 0) {
        for (int32_t at = ME_FIRST(op->batch * row); at < ME_LAST(op->batch * row); at++)
            resets[at] = 0;
        start(op, false);
    }
    for (int32_t step = 0; step < tile->steps; step++) {
        const states s = states_of(op, tile->done + step);
        const int32_t t = op->reverse ? tile->steps - 1 - step : step;
        const states reset = { s.from, resets, s.wide, keeps }, renew = { resets, s.to, s.wide, keeps };
        const int16_t *now = tile->gates + 3 * t * all;
        run_step(op, &some, &reset, now, 0, 3, me_reset_units);
        ME_SYNC();
        run_step(op, &some, &renew, now, y ? y + t * all : 0, 3, me_renew_units);
        ME_SYNC();
    }
}

void me_gru_reset_first_run(const me_recurrent *op, const me_recurrent_tile *tile)
{
    run_reset_first(op, tile, tile->y);
}

void me_gru_reset_first_state_run(const me_recurrent *op, const me_recurrent_tile *tile)
{
    run_reset_first(op, tile, 0);
    put_state(op, tile);
}
