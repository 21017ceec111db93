/* SPDX-License-Identifier: Apache-2.0
 * The body of recurrent kernels of one sequence on NE16 and the cores: in each step the engine multiplies h with the
 * weights of some units, a job of a single row, while the cores compute the others.
 */
#ifndef ME_NE16_RECURRENT_STEPS_H
#define ME_NE16_RECURRENT_STEPS_H

#include "me_ne16.h"
#include "me_recurrent_steps.h"

static inline int32_t *me_ne16_sums_of(const me_recurrent_params *op)
{
    return (int32_t *)(void *)(me_recurrent_state(op) + (op->units + 1) / 2 * 2);
}

ME_INLINE me_ne16_job me_ne16_step_job(const me_recurrent_params *op, const int8_t *h, int32_t gates)
{
    const uint32_t rows = (uint32_t)(op->units + 15) / 16, tiles = (rows + 15) / 16;
    const uint32_t sums = (uint32_t)(gates * op->engine_units);
    return (me_ne16_job){
        .at.weights = op->planes,
        .at.x = (const uint8_t *)h,
        .at.y = (int8_t *)me_ne16_sums_of(op),
        .shape.x_pixel = 16,
        .shape.y_group = 32,
        .shape.last_channels = sums % 32 << 16 | rows % 16,
        .shape.last_outputs = 1 << 16 | 1,
        .shape.last_inputs = 1 << 16 | 1,
        .shape.tiles_channels = (sums + 31) / 32 << 16 | tiles,
        .shape.tiles_pixels = 1 << 16 | 1,
        .shape.weight_offset = -(1 << (op->weight_bits - 1)),
        .shape.config =
            ME_NE16_LINEAR | ME_NE16_WEIGHT_BITS(op->weight_bits) | ME_NE16_INT32 | ME_NE16_SIGNED,
    };
}

/* Initialises both vectors h as unsigned bytes. */
ME_INLINE void me_ne16_start_unsigned(const me_recurrent_params *op, me_cell cell)
{
    me_recurrent_start(op, cell);
    for (int32_t at = ME_FIRST(2 * op->row_bytes); at < ME_LAST(2 * op->row_bytes); at++)
        op->states[at] ^= -128;
    ME_SYNC();
}

/* Runs the steps of a tile, with two barriers in each step. */
ME_INLINE void me_ne16_recurrent_run(const me_recurrent_params *op, const me_recurrent_tile *tile,
                                     me_cell cell)
{
    const int32_t units = op->units, engine = op->engine_units;
    int32_t own_first, first;
    me_units own = me_recurrent_share(
        op, cell,
        (me_recurrent_range){ engine, units - engine, op->weights, op->channels + cell.gates * engine },
        &own_first);
    me_units summed =
        me_recurrent_share(op, cell, (me_recurrent_range){ 0, engine, op->weights, op->channels }, &first);
    summed.words = 0;
    const int8_t *sums = (const int8_t *)(me_ne16_sums_of(op) + cell.gates * first);
    const me_ne16_job jobs[2] = { me_ne16_step_job(op, me_recurrent_h(op, tile->done), cell.gates),
                                  me_ne16_step_job(op, me_recurrent_h(op, tile->done + 1), cell.gates) };
    if (tile->done == 0)
        me_ne16_start_unsigned(op, cell);
    for (int32_t step = 0; step < tile->steps; step++) {
        const int32_t t = op->reverse ? tile->steps - 1 - step : step, at = tile->done + step;
        const int16_t *now = tile->gates + cell.gates * t * units;
        me_recurrent_part part = { me_recurrent_h(op, at), me_recurrent_h(op, at + 1), tile->y + t * units,
                                   0 };
        int32_t running = 0;
        if (ME_CORE() == 0)
            running = step < 2 ? me_ne16_start(&jobs[step & 1]) : me_ne16_start_again(&jobs[step & 1]);
        me_recurrent_run_part(&own, cell, own_first, now, part, cell.work);
        if (ME_CORE() == 0)
            me_ne16_wait(running);
        ME_SYNC();
        part.from = sums;
        me_recurrent_run_part(&summed, cell, first, now, part, cell.work);
        ME_SYNC();
    }
}

#endif
