/* SPDX-License-Identifier: Apache-2.0
 * States of selective scans between the passes of a stream, int32 [batch][width][states + 1]. The last
 * value of each channel is the parity of the number of earlier steps, on which the rounding of int16
 * operands depends.
 */
#ifndef ME_SELECTIVE_STREAM_H
#define ME_SELECTIVE_STREAM_H

#include <stdint.h>

#include "me_share.h"

/* State i of a channel before the first step; 0 for padding (i >= states) and without `before`. */
static inline int32_t me_first_state(const int32_t *before, int32_t channel, int32_t states, int32_t i)
{
    return before && i < states ? before[channel * (states + 1) + i] : 0;
}

static inline int32_t me_parity(const int32_t *before, int32_t channel, int32_t states)
{
    return before ? before[channel * (states + 1) + states] : 0;
}

static inline void me_store_state(void *kept, int32_t channel, int32_t states, int32_t i, int32_t state)
{
    ((int32_t *)kept)[channel * (states + 1) + i] = state;
}

/* Stores the parity of all channels after `steps` more steps. */
static inline void me_store_parity(const int32_t *before, void *kept, int32_t channels, int32_t states,
                                   int32_t steps)
{
    for (int32_t channel = ME_FIRST(channels); channel < ME_LAST(channels); channel++)
        me_store_state(kept, channel, states, states, (me_parity(before, channel, states) + steps) & 1);
}

#endif
