/* SPDX-License-Identifier: Apache-2.0
 * This core's share of first steps. Each kernel of me_recurrent_instances.def has a body of its own, made for the
 * bytes of an h, so all of it is inline.
 */
#ifndef ME_RECURRENT_START_UNITS_H
#define ME_RECURRENT_START_UNITS_H

#include "me_math.h"
#include "me_recurrent_rows.h"
#include "me_recurrent_start.h"
#include "me_recurrent_steps.h"

ME_INLINE void me_lstm_start_run(const me_recurrent_start_params *op, const me_recurrent_start_tile *tile,
                                 int32_t bytes, me_units_work *work)
{
    const int32_t all = tile->rows * op->units, first = ME_FIRST(all);
    const me_units some = { .now = tile->gates + 3 * first,
                            .sigmoid = op->sigmoid + 256,
                            .tanh = op->tanh + 256,
                            .y = (int8_t *)tile->y + bytes * first,
                            .units = ME_LAST(all) - first,
                            .result_shift = op->result_shift };
    if (some.units > 0)
        work(&some);
}

ME_INLINE void me_gru_start_run(const me_recurrent_start_params *op, const me_recurrent_start_tile *tile,
                                int32_t bytes)
{
    const int32_t all = tile->rows * op->units, last = ME_LAST(all), shift = op->result_shift;
    int32_t unit = ME_FIRST(all) % op->units;
    for (int32_t i = ME_FIRST(all); i < last; i++) {
        const int16_t *now = tile->gates + 3 * i;
        const int32_t reset = me_between(op->sigmoid, now[0], 6), keep = me_between(op->sigmoid, now[1], 6);
        const int32_t added = (reset * op->own[unit] + (1 << 14)) >> 15;
        const int32_t product = me_between(op->tanh, now[2] + added, 5) * ((1 << 15) - keep);
        me_recurrent_put_hidden(tile->y, i, (product + (1 << shift >> 1)) >> shift, bytes);
        unit = unit + 1 == op->units ? 0 : unit + 1;
    }
}

#endif
