/* SPDX-License-Identifier: Apache-2.0
 * The steps of LSTM and GRU on NE16 and the cores. Each kernel has a body of its own, as in me_recurrent_steps.h.
 */
#ifndef ME_NE16_RECURRENT_STEPS_H
#define ME_NE16_RECURRENT_STEPS_H

#include "me_ne16.h"
#include "me_ne16_recurrent.h"
#include "me_recurrent_steps.h"

static inline int32_t *me_ne16_sums_of(const me_ne16_recurrent_params *op)
{
    return (int32_t *)(void *)(op->cell.states + me_states_bytes(1, op->cell.units, 1));
}

ME_INLINE me_ne16_job me_ne16_step_job(const me_ne16_recurrent_params *op, const int8_t *h, int32_t gates)
{
    const uint32_t rows = (uint32_t)(op->cell.units + 15) / 16, tiles = (rows + 15) / 16;
    const uint32_t sums = (uint32_t)(gates * op->engine_units);
    return (me_ne16_job){
        .weights = op->planes,
        .x = (const uint8_t *)h,
        .y = (int8_t *)me_ne16_sums_of(op),
        .x_pixel = 16,
        .y_group = 32,
        .last_channels = sums % 32 << 16 | rows % 16,
        .last_outputs = 1 << 16 | 1,
        .last_inputs = 1 << 16 | 1,
        .tiles_channels = (sums + 31) / 32 << 16 | tiles,
        .tiles_pixels = 1 << 16 | 1,
        .weight_offset = -(1 << (op->weight_bits - 1)),
        .config = ME_NE16_LINEAR | ME_NE16_WEIGHT_BITS(op->weight_bits) | ME_NE16_INT32 | ME_NE16_SIGNED,
    };
}

/* Both vectors h as unsigned bytes. */
static inline void me_ne16_start_unsigned(const me_recurrent_params *op, int32_t gates)
{
    const int32_t h_bytes = me_recurrent_filled(op->units);
    me_recurrent_start(op, gates, 1);
    for (int32_t at = ME_FIRST(2 * h_bytes); at < ME_LAST(2 * h_bytes); at++)
        op->states[at] ^= -128;
    ME_SYNC();
}

/* This core's share of the units `first` to before `end`, and what is the same for all steps. */
ME_INLINE me_units me_ne16_share(const me_ne16_recurrent_params *op, int32_t first, int32_t end,
                                 int32_t gates)
{
    const me_recurrent_params *cell = &op->cell;
    const int32_t words = me_recurrent_filled(cell->units) / 4, from = first + ME_FIRST(end - first);
    return (me_units){
        .words = words,
        .weights = cell->weights + 4 * gates * words * (from - op->engine_units),
        .channels = cell->channels + gates * from,
        .state = me_recurrent_states_of(cell, 0, 1).wide + from,
        .sigmoid = cell->sigmoid + 256,
        .tanh = cell->tanh + 256,
        .pre = cell->pre,
        .units = first + ME_LAST(end - first) - from,
        .layer = cell,
    };
}

ME_INLINE void me_ne16_run_units(me_units *some, const int8_t *h, const me_recurrent_states *s, int32_t from,
                                 const int16_t *now, int8_t *y, me_units_work *work)
{
    some->h = h;
    some->now = now;
    some->to = s->to + from;
    some->y = y + from;
    if (some->units > 0)
        work(some);
}

ME_INLINE void me_ne16_recurrent_run(const me_ne16_recurrent_params *op, const me_recurrent_tile *tile,
                                     int32_t gates, me_units_work *work)
{
    const me_recurrent_params *cell = &op->cell;
    const int32_t units = cell->units, engine = op->engine_units;
    const int32_t own_first = engine + ME_FIRST(units - engine), engine_first = ME_FIRST(engine);
    me_units own = me_ne16_share(op, engine, units, gates), summed = me_ne16_share(op, 0, engine, gates);
    summed.words = 0;
    const me_recurrent_states at_first = me_recurrent_states_of(cell, tile->done, 1);
    const me_ne16_job jobs[2] = { me_ne16_step_job(op, at_first.from, gates),
                                  me_ne16_step_job(op, at_first.to, gates) };
    if (tile->done == 0)
        me_ne16_start_unsigned(cell, gates);
    for (int32_t step = 0; step < tile->steps; step++) {
        const me_recurrent_states s = me_recurrent_states_of(cell, tile->done + step, 1);
        const int32_t t = cell->reverse ? tile->steps - 1 - step : step;
        const int16_t *now = tile->gates + gates * t * units;
        int8_t *y = tile->y + t * units;
        int32_t running = 0;
        if (ME_CORE() == 0)
            running = step < 2 ? me_ne16_start(&jobs[step & 1]) : me_ne16_start_again(&jobs[step & 1]);
        me_ne16_run_units(&own, s.from, &s, own_first, now + gates * own_first, y, work);
        if (ME_CORE() == 0)
            me_ne16_wait(running);
        ME_SYNC();
        const int8_t *sums = (const int8_t *)(me_ne16_sums_of(op) + gates * engine_first);
        me_ne16_run_units(&summed, sums, &s, engine_first, now + gates * engine_first, y, work);
        ME_SYNC();
    }
}

#endif
