/* SPDX-License-Identifier: Apache-2.0
 * This core's share of one step. Each kernel of me_recurrent_instances.def has a body of its own, made for its result.
 */
#ifndef ME_LSTM_NEXT_UNITS_H
#define ME_LSTM_NEXT_UNITS_H

#include "me_lstm_next.h"
#include "me_recurrent_steps.h"

/* The table's function, two entries 2**bits of x apart, constant beyond its ends. */
static inline int32_t me_lstm_next_tanh(const int16_t *table, int32_t x, int32_t bits)
{
    const int32_t limit = 256 << bits, at = me_max(me_min(x, limit - 1), -limit);
    const int16_t *low = table + 256 + (at >> bits);
    const int32_t part = (low[1] - low[0]) * (at & ((1 << bits) - 1));
    return low[0] + ((part + (1 << bits >> 1)) >> bits);
}

/* bytes   of a result      cell   whether it is c, otherwise h */
ME_INLINE void me_lstm_next_run(const me_lstm_next_params *params, const me_lstm_next_tile *tile,
                                int32_t bytes, int32_t cell)
{
    const me_lstm_next_params op = *params;
    const int32_t all = tile->rows * op.units, last = ME_LAST(all), half = 1 << op.result_shift >> 1;
    for (int32_t i = ME_FIRST(all); i < last; i++) {
        const int16_t *x = tile->gates + 4 * i, *more = tile->added + 4 * i;
        const int32_t in = me_between(op.sigmoid, x[0] + more[0], 6);
        const int32_t forget = me_between(op.sigmoid, x[1] + more[1], 6);
        const int32_t added = in * me_between(op.tanh, x[2] + more[2], 5) >> (15 - op.cell_bits);
        const int32_t first = me_recurrent_first_of(tile->c, op.c_wide, i);
        const int32_t old = me_clips(me_recurrent_started(first, op.c_mult, op.c_offset, op.c_shift), 16);
        const int32_t c = me_clips((forget * old + added + (1 << 14)) >> 15, 16);
        if (cell) {
            me_recurrent_put_hidden(tile->y, i, me_recurrent_started(c, op.y_mult, op.y_offset, op.y_shift),
                                    bytes);
            continue;
        }
        const int32_t out = me_between(op.sigmoid, x[3] + more[3], 6);
        const int32_t h = out * me_lstm_next_tanh(op.tanh, c, op.cell_bits - 5);
        me_recurrent_put_hidden(tile->y, i, (h + half) >> op.result_shift, bytes);
    }
}

#endif
