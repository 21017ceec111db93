/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_wide_rows.h"

#include "me_math.h"

/* bits of p behind those that the table is read by, behind the point */
enum { PART = 11, INDEX = 10, POINT = PART + INDEX };

/* In Q31: 2 to the halvings of a step, on a line between two entries. */
static inline int32_t decayed(int32_t delta, int32_t decay, const me_wide_decays *by)
{
    const int32_t upper = (int32_t)((int64_t)delta * decay >> 32);
    const uint32_t p = (uint32_t)me_min(upper, by->most) << by->decay_up;
    const int32_t *entry = by->powers + me_extractu(p, INDEX, PART);
    const uint32_t below = (uint32_t)(entry[0] - entry[1]) * me_extractu(p, PART, 0) >> PART;
    return (entry[0] - (int32_t)below) >> (p >> POINT);
}

/* A state decayed, and u B more. */
static inline int32_t moved(int32_t state, int32_t a, int32_t u, int32_t b)
{
    const int64_t next = (int64_t)a * (state * 2) + (int64_t)u * b + ((int64_t)1 << 31);
    return me_clips((int32_t)(next >> 32), 31);
}

static void move_block(const me_wide_decays *by, const int32_t *decays, const me_wide_reads *reads,
                       me_wide_step *own, int32_t *states, int32_t steps)
{
    for (int32_t i = 0; i < ME_WIDE_BLOCK; i++) {
        int32_t s = states[i];
        for (int32_t t = 0; t < steps; t++) {
            const me_wide_step at = own[t];
            s = moved(s, decayed(at.delta, decays[i], by), at.u, reads[t].b[i]);
            const uint64_t more = (uint64_t)((int64_t)s * reads[t].c[i]);
            const uint64_t sum = ((uint64_t)(uint32_t)at.high << 32 | at.low) + more;
            own[t].low = (uint32_t)sum;
            own[t].high = (int32_t)(sum >> 32);
        }
        states[i] = s;
    }
}

void me_move_wide_states(const me_wide_decays *by, const int32_t *decays, const me_wide_reads *reads,
                         me_wide_step *own, int32_t *states, int32_t steps, int32_t blocks)
{
    for (int32_t i = 0; i < blocks; i++)
        move_block(by, decays + i * ME_WIDE_BLOCK, reads + i * ME_WIDE_STEPS, own, states + i * ME_WIDE_BLOCK,
                   steps);
}
