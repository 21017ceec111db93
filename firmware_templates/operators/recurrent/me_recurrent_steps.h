/* SPDX-License-Identifier: Apache-2.0
 * The bodies of recurrent kernels. They are inline, because each kernel instantiates them for its cell.
 */
#ifndef ME_RECURRENT_STEPS_H
#define ME_RECURRENT_STEPS_H

#include "me_math.h"
#include "me_recurrent_rows.h"
#include "me_share.h"

#define ME_INLINE static inline __attribute__((always_inline))

typedef void me_units_work(const me_units *);

/* gates    gates per unit: 4 for an LSTM, 3 for a GRU, 1 for an Elman RNN
 * wide     whether h is int16
 * work     step function of some units; reset: first part of a step in two parts, otherwise 0 */
typedef struct {
    int32_t gates, wide;
    me_units_work *work, *reset;
} me_cell;

/* ---- states of all sequences: h before a step, h after it, and the 16-bit state */

ME_INLINE int8_t *me_recurrent_h(const me_recurrent_params *op, int32_t step)
{
    return op->states + (step & 1) * op->batch * op->row_bytes;
}

ME_INLINE int16_t *me_recurrent_state(const me_recurrent_params *op)
{
    return (int16_t *)(void *)(op->states + 2 * op->batch * op->row_bytes);
}

static inline int32_t me_recurrent_scaled(int32_t x, int32_t mult, int32_t offset, int32_t shift)
{
    return (x * mult + offset) >> shift;
}

/* -> value i of x, int16 if wide, otherwise int8 */
static inline int32_t me_recurrent_get(const int8_t *x, int32_t wide, int32_t i)
{
    return wide ? ((const int16_t *)(const void *)x)[i] : x[i];
}

static inline void me_recurrent_put(int8_t *y, int32_t wide, int32_t i, int32_t x)
{
    if (wide)
        ((int16_t *)(void *)y)[i] = (int16_t)me_clips(x, 16);
    else
        y[i] = me_clip8(x);
}

/* Sets the states before the first step; padding of h is 0. */
ME_INLINE void me_recurrent_start(const me_recurrent_params *op, me_cell cell)
{
    const int32_t row = op->row_bytes >> cell.wide;
    int8_t *from = me_recurrent_h(op, 0), *to = me_recurrent_h(op, 1);
    int16_t *state = me_recurrent_state(op);
    for (int32_t n = 0; n < op->batch; n++)
        for (int32_t unit = ME_FIRST(row); unit < ME_LAST(row); unit++) {
            const int32_t at = n * row + unit, i = n * op->units + unit;
            me_recurrent_put(from, cell.wide, at, 0);
            me_recurrent_put(to, cell.wide, at, 0);
            if (unit >= op->units)
                continue;
            int32_t h = me_recurrent_scaled(me_recurrent_get(op->h0, op->h0_wide, i), op->h_mult,
                                            op->h_offset, op->h_shift);
            if (cell.gates == 4) {
                const int32_t c = me_recurrent_get(op->c0, op->c0_wide, i);
                state[i] =
                    (int16_t)me_clips(me_recurrent_scaled(c, op->c_mult, op->c_offset, op->c_shift), 16);
            } else if (cell.gates == 3) {
                state[i] = (int16_t)me_clips(h, 15);
                h = cell.wide ? state[i] : (state[i] + 64) >> 7;
            }
            me_recurrent_put(from, cell.wide, at, h);
        }
    ME_SYNC();
}

/* Writes the 16-bit state after the last step to y. */
static inline void me_recurrent_put_state(const me_recurrent_params *op, int8_t *y)
{
    const int16_t *state = me_recurrent_state(op);
    const int32_t all = op->batch * op->units;
    for (int32_t i = ME_FIRST(all); i < ME_LAST(all); i++)
        me_recurrent_put(y, op->y_wide, i,
                         me_recurrent_scaled(state[i], op->y_mult, op->y_offset, op->y_shift));
}

/* ---- steps */

/* Units [first, first + count), whose weights and channels are contiguous. */
typedef struct {
    int32_t first, count;
    const int8_t *weights;
    const me_channel *channels;
} me_recurrent_range;

/* Initialises this core's share of a range with the values that are constant over all steps; sets *first
 * to the share's first unit. */
ME_INLINE me_units me_recurrent_share(const me_recurrent_params *op, me_cell cell, me_recurrent_range range,
                                      int32_t *first)
{
    const int32_t at = ME_FIRST(range.count);
    me_units some;
    *first = range.first + at;
    some.words = op->row_bytes / 4;
    some.weights = range.weights + cell.gates * op->row_bytes * at;
    some.channels = range.channels + cell.gates * at;
    some.sigmoid = cell.gates > 1 ? op->sigmoid + 256 : 0;
    some.tanh = cell.gates > 1 ? op->tanh + 256 : 0;
    some.pre = op->pre;
    some.units = ME_LAST(range.count) - at;
    some.layer = op;
    /* cppcheck-suppress uninitvar ; each step sets the other fields */
    return some;
}

/* A part of a step: h before it, destinations of h, and the kept update gates. */
typedef struct {
    const int8_t *from;
    int8_t *to, *y;
    int16_t *keep;
} me_recurrent_part;

/* Runs a part of a step for this core's units, from unit `first` on, in all batches; y and keep may be 0. */
ME_INLINE void me_recurrent_run_part(me_units *some, me_cell cell, int32_t first, const int16_t *now,
                                     me_recurrent_part part, me_units_work *work)
{
    const me_recurrent_params *op = some->layer;
    for (int32_t n = 0; n < op->batch && some->units > 0; n++) {
        const int32_t unit = n * op->units + first;
        some->h = part.from + n * op->row_bytes;
        some->now = now + unit * cell.gates;
        some->state = me_recurrent_state(op) + unit;
        some->to = part.to + n * op->row_bytes + (first << cell.wide);
        some->y = part.y ? part.y + (unit << cell.wide) : some->to;
        some->keep = part.keep ? part.keep + unit : 0;
        work(some);
    }
}

/* Runs the steps of a tile. Barriers: after setting the first states, and after each part of a step,
 * including the last one. */
ME_INLINE void me_recurrent_run(const me_recurrent_params *op, const me_recurrent_tile *tile, me_cell cell)
{
    const int32_t all = op->batch * op->units, steps = tile->steps, size = op->batch * op->row_bytes;
    int8_t *between = (int8_t *)(void *)(me_recurrent_state(op) + op->batch * ((op->units + 1) / 2 * 2));
    int16_t *keep = cell.reset ? (int16_t *)(void *)(between + size) : 0;
    int32_t first;
    me_units some =
        me_recurrent_share(op, cell, (me_recurrent_range){ 0, op->units, op->weights, op->channels }, &first);
    if (tile->done == 0) {
        for (int32_t at = ME_FIRST(size); cell.reset && at < ME_LAST(size); at++)
            between[at] = 0;
        me_recurrent_start(op, cell);
    }
    for (int32_t step = 0; step < steps; step++) {
        const int32_t t = op->reverse ? steps - 1 - step : step;
        const int16_t *now = tile->gates + t * all * cell.gates;
        const int8_t *from = me_recurrent_h(op, tile->done + step);
        if (cell.reset) {
            me_recurrent_run_part(&some, cell, first, now, (me_recurrent_part){ from, between, 0, keep },
                                  cell.reset);
            ME_SYNC();
            from = between;
        }
        int8_t *to = me_recurrent_h(op, tile->done + step + 1);
        int8_t *y = op->puts_state ? 0 : tile->y + (t * all << cell.wide);
        me_recurrent_run_part(&some, cell, first, now, (me_recurrent_part){ from, to, y, keep }, cell.work);
        ME_SYNC();
    }
    if (op->puts_state)
        me_recurrent_put_state(op, tile->y);
}

ME_INLINE void me_recurrent_run_range(const me_recurrent_params *op, const me_recurrent_streamed_tile *tile,
                                      me_cell cell, me_recurrent_range range)
{
    int32_t first;
    me_units some = me_recurrent_share(op, cell, range, &first);
    const me_recurrent_part part = { me_recurrent_h(op, tile->done), me_recurrent_h(op, tile->done + 1),
                                     op->puts_state ? 0 : tile->y, 0 };
    me_recurrent_run_part(&some, cell, first, tile->gates, part, cell.work);
}

/* Runs one step for a tile's units. Barriers: in the first tile and, if the state is stored, in the last
 * one; none at the end. */
ME_INLINE void me_recurrent_streamed_run(const me_recurrent_params *op,
                                         const me_recurrent_streamed_tile *tile, me_cell cell)
{
    const int32_t at = tile->resident_first, unit_bytes = cell.gates * op->row_bytes;
    if (tile->starts)
        me_recurrent_start(op, cell);
    me_recurrent_run_range(op, tile, cell,
                           (me_recurrent_range){ tile->first, tile->units, tile->weights, tile->channels });
    me_recurrent_run_range(op, tile, cell,
                           (me_recurrent_range){ at, tile->resident_end - at, op->weights + unit_bytes * at,
                                                 op->channels + cell.gates * at });
    if (op->puts_state && tile->ends) {
        ME_SYNC();
        me_recurrent_put_state(op, tile->y);
    }
}

#endif
