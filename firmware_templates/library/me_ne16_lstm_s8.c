/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_lstm_s8.h"

#include "me_ne16.h"
#include "me_recurrent_steps.h"

enum { GATES = 4 };

static int32_t *sums_of(const me_ne16_lstm_s8_params *op)
{
    return (int32_t *)(void *)(op->lstm.states + me_states_bytes(1, op->lstm.units));
}

static me_ne16_job job_of(const me_ne16_lstm_s8_params *op, const int8_t *h)
{
    const uint32_t rows = (uint32_t)(op->lstm.units + 15) / 16, tiles = (rows + 15) / 16;
    return (me_ne16_job){
        .weights = op->planes, .x = (const uint8_t *)h, .y = (int8_t *)sums_of(op), .x_pixel = 16, .y_group = 32,
        .last_channels = rows % 16, .last_outputs = 1 << 16 | 1, .last_inputs = 1 << 16 | 1,
        .tiles_channels = (uint32_t)(GATES * op->engine_units / 32) << 16 | tiles, .tiles_pixels = 1 << 16 | 1,
        .weight_offset = -128,
        .config = ME_NE16_LINEAR | ME_NE16_WEIGHT_BITS(8) | ME_NE16_INT32 | ME_NE16_SIGNED,
    };
}

/* Both vectors h as unsigned bytes. */
static void start_unsigned(const me_recurrent_params *op)
{
    const int32_t h_bytes = filled(op->units);
    start(op, true);
    for (int32_t at = ME_FIRST(2 * h_bytes); at < ME_LAST(2 * h_bytes); at++)
        op->states[at] ^= -128;
    ME_SYNC();
}

/* This core's share of the units `first` to before `end`, and what is the same for all steps. */
static me_units share(const me_ne16_lstm_s8_params *op, int32_t first, int32_t end)
{
    const me_recurrent_params *lstm = &op->lstm;
    const int32_t words = filled(lstm->units) / 4, from = first + ME_FIRST(end - first);
    return (me_units){
        .words = words, .weights = lstm->weights + 4 * GATES * words * (from - op->engine_units),
        .channels = lstm->channels + GATES * from, .state = states_of(lstm, 0).wide + from,
        .sigmoid = lstm->sigmoid + 256, .tanh = lstm->tanh + 256, .pre = lstm->pre,
        .units = first + ME_LAST(end - first) - from,
    };
}

static void run_units(me_units *some, const int8_t *h, int32_t from, const states *s, const int16_t *now, int8_t *y)
{
    some->h = h;
    some->now = now + GATES * from;
    some->to = s->to + from;
    some->y = y + from;
    if (some->units > 0)
        me_lstm_unsigned_units(some);
}

void me_ne16_lstm_s8(const me_ne16_lstm_s8_params *op, const me_ne16_lstm_s8_tile *tile)
{
    const me_recurrent_params *lstm = &op->lstm;
    const int32_t units = lstm->units, engine = op->engine_units;
    const int32_t own_first = engine + ME_FIRST(units - engine), engine_first = ME_FIRST(engine);
    me_units own = share(op, engine, units), summed = share(op, 0, engine);
    summed.words = 0;
    const states at_first = states_of(lstm, tile->done);
    const me_ne16_job jobs[2] = { job_of(op, at_first.from), job_of(op, at_first.to) };
    if (tile->done == 0)
        start_unsigned(lstm);
    for (int32_t step = 0; step < tile->steps; step++) {
        const states s = states_of(lstm, tile->done + step);
        const int32_t t = lstm->reverse ? tile->steps - 1 - step : step;
        const int16_t *now = tile->gates + GATES * t * units;
        int8_t *y = tile->y + t * units;
        int32_t running = 0;
        if (ME_CORE() == 0)
            running = step < 2 ? me_ne16_start(&jobs[step & 1]) : me_ne16_start_again(&jobs[step & 1]);
        run_units(&own, s.from, own_first, &s, now, y);
        if (ME_CORE() == 0)
            me_ne16_wait(running);
        ME_SYNC();
        run_units(&summed, (const int8_t *)(sums_of(op) + GATES * engine_first), engine_first, &s, now, y);
        ME_SYNC();
    }
}
