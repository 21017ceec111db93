/* SPDX-License-Identifier: Apache-2.0
 * The steps of LSTM, GRU and plain layers: states, and the units of each core. Each kernel of
 * me_recurrent_instances.def has a body of its own, made for its number of gates and the bytes of an h, so
 * all of it is inline.
 */
#ifndef ME_RECURRENT_STEPS_H
#define ME_RECURRENT_STEPS_H

#include "me_math.h"
#include "me_recurrent.h"
#include "me_recurrent_rows.h"
#include "me_share.h"

#define ME_INLINE static inline __attribute__((always_inline))

ME_INLINE int32_t me_recurrent_filled(int32_t bytes) { return (bytes + 3) / 4 * 4; }

/* The states of all batches: h of one step, h of the next, and what has 16 bits; keep: what
 * me_units has, or 0. */
typedef struct {
    int8_t *from, *to;
    int16_t *wide, *keep;
} me_recurrent_states;

ME_INLINE me_recurrent_states me_recurrent_states_of(const me_recurrent_params *op, int32_t step,
                                                     int32_t bytes)
{
    const int32_t size = op->batch * me_recurrent_filled(bytes * op->units);
    int8_t *h[2] = { op->states, op->states + size };
    return (me_recurrent_states){ h[step % 2], h[(step + 1) % 2], (int16_t *)(void *)(op->states + 2 * size),
                                  0 };
}

static inline int32_t me_recurrent_started(int32_t x, int32_t mult, int32_t offset, int32_t shift)
{
    return (x * mult + offset) >> shift;
}

/* Number i of a first state. */
static inline int32_t me_recurrent_first_of(const int8_t *first, int32_t wide, int32_t i)
{
    return wide ? ((const int16_t *)(const void *)first)[i] : first[i];
}

static inline void me_recurrent_put_hidden(int8_t *h, int32_t at, int32_t x, int32_t bytes)
{
    if (bytes == 1)
        h[at] = me_clip8(x);
    else
        ((int16_t *)(void *)h)[at] = (int16_t)me_clips(x, 16);
}

static inline void me_recurrent_start(const me_recurrent_params *op, int32_t gates, int32_t bytes)
{
    const me_recurrent_states s = me_recurrent_states_of(op, 0, bytes);
    const int32_t row = me_recurrent_filled(bytes * op->units) / bytes;
    for (int32_t at = ME_FIRST(op->batch * row); at < ME_LAST(op->batch * row); at++) {
        const int32_t n = at / row, unit = at - n * row, i = n * op->units + unit;
        me_recurrent_put_hidden(s.from, at, 0, bytes);
        me_recurrent_put_hidden(s.to, at, 0, bytes);
        if (unit >= op->units)
            continue;
        const int32_t h = me_recurrent_started(me_recurrent_first_of(op->h0, op->h0_wide, i), op->h_mult,
                                               op->h_offset, op->h_shift);
        if (gates != 3)
            me_recurrent_put_hidden(s.from, at, h, bytes);
        if (gates == 4) {
            const int32_t c = me_recurrent_first_of(op->c0, op->c0_wide, i);
            s.wide[i] = (int16_t)me_clips(me_recurrent_started(c, op->c_mult, op->c_offset, op->c_shift), 16);
        }
        if (gates == 3) {
            s.wide[i] = (int16_t)me_clips(h, 15);
            me_recurrent_put_hidden(s.from, at, bytes == 1 ? (s.wide[i] + 64) >> 7 : s.wide[i], bytes);
        }
    }
    ME_SYNC();
}

/* ---- steps */

typedef void me_units_work(const me_units *);

/* Units from number `first` on whose weights and channels are one after the other. */
typedef struct {
    int32_t first, count;
    const int8_t *weights;
    const me_channel *channels;
} me_recurrent_unit_range;

/* This core's share of some units, and what is the same for all steps. */
ME_INLINE me_units me_recurrent_units_of(const me_recurrent_params *op, me_recurrent_unit_range range,
                                         int32_t gates, int32_t bytes)
{
    const int32_t first = ME_FIRST(range.count);
    me_units some;
    some.words = me_recurrent_filled(bytes * op->units) / 4;
    some.weights = range.weights + 4 * gates * some.words * first;
    some.channels = range.channels + gates * first;
    some.sigmoid = gates > 1 ? op->sigmoid + 256 : 0;
    some.tanh = gates > 1 ? op->tanh + 256 : 0;
    some.pre = op->pre;
    some.units = ME_LAST(range.count) - first;
    some.layer = op;
    some.result_shift = op->result_shift;
    some.new_mult = op->new_mult;
    some.new_offset = op->new_offset;
    some.new_shift = op->new_shift;
    /* cppcheck-suppress uninitvar ; each step sets its own */
    return some;
}

ME_INLINE me_recurrent_unit_range me_recurrent_all_units(const me_recurrent_params *op)
{
    return (me_recurrent_unit_range){ 0, op->units, op->weights, op->channels };
}

/* A step of these units, from number `first` on, in all batches; y may be 0. */
ME_INLINE void me_recurrent_run_step(const me_recurrent_params *op, me_units *some, int32_t first,
                                     const me_recurrent_states *s, const int16_t *now, int8_t *y,
                                     int32_t gates, int32_t bytes, me_units_work *work)
{
    const int32_t row = 4 * some->words;
    for (int32_t n = 0; n < op->batch && some->units > 0; n++) {
        const int32_t unit = n * op->units + first;
        some->h = s->from + n * row;
        some->now = now + unit * gates;
        some->state = s->wide + unit;
        some->to = s->to + n * row + bytes * first;
        some->y = y ? y + bytes * unit : some->to;
        some->keep = s->keep ? s->keep + unit : 0;
        work(some);
    }
}

ME_INLINE void me_recurrent_run(const me_recurrent_params *op, const me_recurrent_tile *tile, int8_t *y,
                                int32_t gates, int32_t bytes, me_units_work *work)
{
    const int32_t all = op->batch * op->units, first = ME_FIRST(op->units);
    me_units some = me_recurrent_units_of(op, me_recurrent_all_units(op), gates, bytes);
    if (tile->done == 0)
        me_recurrent_start(op, gates, bytes);
    for (int32_t step = 0; step < tile->steps; step++) {
        const me_recurrent_states s = me_recurrent_states_of(op, tile->done + step, bytes);
        const int32_t t = op->reverse ? tile->steps - 1 - step : step;
        me_recurrent_run_step(op, &some, first, &s, tile->gates + t * all * gates,
                              y ? y + bytes * t * all : 0, gates, bytes, work);
        ME_SYNC();
    }
}

/* What has 16 bits, as it is after these steps. */
static inline void me_recurrent_put_state(const me_recurrent_params *op, int8_t *out, int32_t bytes)
{
    const int16_t *state = me_recurrent_states_of(op, 0, bytes).wide;
    const int32_t all = op->batch * op->units;
    int16_t *wide = (int16_t *)(void *)out;
    for (int32_t i = ME_FIRST(all); i < ME_LAST(all); i++) {
        const int32_t y = me_recurrent_started(state[i], op->y_mult, op->y_offset, op->y_shift);
        if (op->y_wide)
            wide[i] = (int16_t)me_clips(y, 16);
        else
            out[i] = me_clip8(y);
    }
}

ME_INLINE void me_recurrent_run_reset_first(const me_recurrent_params *op, const me_recurrent_tile *tile,
                                            int8_t *y, int32_t bytes, me_units_work *reset_work,
                                            me_units_work *renew_work)
{
    const int32_t row = me_recurrent_filled(bytes * op->units), all = op->batch * op->units,
                  first = ME_FIRST(op->units);
    int8_t *resets = op->states + me_states_bytes(op->batch, op->units, bytes);
    me_units some = me_recurrent_units_of(op, me_recurrent_all_units(op), 3, bytes);
    int16_t *keeps = (int16_t *)(void *)(resets + op->batch * row);
    if (tile->done == 0) {
        for (int32_t at = ME_FIRST(op->batch * row); at < ME_LAST(op->batch * row); at++)
            resets[at] = 0;
        me_recurrent_start(op, 3, bytes);
    }
    for (int32_t step = 0; step < tile->steps; step++) {
        const me_recurrent_states s = me_recurrent_states_of(op, tile->done + step, bytes);
        const int32_t t = op->reverse ? tile->steps - 1 - step : step;
        const me_recurrent_states reset = { s.from, resets, s.wide, keeps },
                                  renew = { resets, s.to, s.wide, keeps };
        const int16_t *now = tile->gates + 3 * t * all;
        me_recurrent_run_step(op, &some, first, &reset, now, 0, 3, bytes, reset_work);
        ME_SYNC();
        me_recurrent_run_step(op, &some, first, &renew, now, y ? y + bytes * t * all : 0, 3, bytes,
                              renew_work);
        ME_SYNC();
    }
}

#endif
