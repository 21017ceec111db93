/* SPDX-License-Identifier: Apache-2.0
 * A tile of a recurrent layer whose weights do not fit L1. Each kernel has a body of its own, made for
 * its number of gates and the bytes of an h, so all of it is inline.
 */
#ifndef ME_RECURRENT_STREAMED_STEPS_H
#define ME_RECURRENT_STREAMED_STEPS_H

#include "me_recurrent_steps.h"
#include "me_recurrent_streamed.h"

ME_INLINE void me_recurrent_run_range(const me_recurrent_params *layer, me_recurrent_unit_range range,
                                      const me_recurrent_streamed_tile *tile, int8_t *y, int32_t gates,
                                      int32_t bytes, me_units_work *work)
{
    const me_recurrent_states s = me_recurrent_states_of(layer, tile->done, bytes);
    me_units some = me_recurrent_units_of(layer, range, gates, bytes);
    me_recurrent_run_step(layer, &some, range.first + ME_FIRST(range.count), &s, tile->gates, y, gates, bytes,
                          work);
}

ME_INLINE void me_recurrent_run_streamed(const me_recurrent_streamed_params *op,
                                         const me_recurrent_streamed_tile *tile, int32_t gates, int32_t bytes,
                                         me_units_work *work)
{
    const me_recurrent_params *layer = &op->layer;
    const int32_t unit_bytes = gates * me_recurrent_filled(bytes * layer->units), at = tile->resident_first;
    int8_t *y = op->puts_state ? 0 : tile->y;
    const me_recurrent_unit_range resident = { at, tile->resident_end - at, layer->weights + unit_bytes * at,
                                               layer->channels + gates * at };
    const me_recurrent_unit_range streamed = { op->resident_units + tile->first, tile->units, tile->weights,
                                               tile->channels };
    if (tile->done == 0 && tile->first == 0)
        me_recurrent_start(layer, gates, bytes);
    me_recurrent_run_range(layer, streamed, tile, y, gates, bytes, work);
    me_recurrent_run_range(layer, resident, tile, y, gates, bytes, work);
    if (op->puts_state && tile->ends) {
        ME_SYNC();
        me_recurrent_put_state(layer, tile->y, bytes);
    }
}

#endif
