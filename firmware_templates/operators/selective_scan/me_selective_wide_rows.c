/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_wide_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

/* p has POINT fraction bits: INDEX bits select a table entry, the PART bits below interpolate. */
enum { PART = 11, INDEX = 10, POINT = PART + INDEX };

enum { READS = sizeof(me_wide_reads) / sizeof(int32_t) }; /* int32 values of me_wide_reads per step */

/* Decay factor of a step in Q31: 2 to the power of -p, interpolated linearly between two entries. */
static inline uint32_t decay_factor(int32_t delta, int32_t decay, const me_wide_decays *by)
{
    const int32_t upper = (int32_t)((int64_t)delta * decay >> 32);
    const uint32_t p = (uint32_t)me_min(upper, by->most) << by->decay_up;
    const uint32_t *entry = by->powers + me_extractu(p, INDEX, PART);
    const uint32_t below = (entry[0] - entry[1]) * me_extractu(p, PART, 0) >> PART;
    return (entry[0] - below) >> (p >> POINT);
}

/* The next state: the decayed state plus u * B. */
static inline int32_t next_state(int32_t state, uint32_t a, const me_wide_step *at, int32_t b)
{
    const int32_t kept = (int32_t)((int64_t)(state * 2) * (int64_t)a >> 32);
    const int32_t more = (int32_t)((int64_t)at->u * b >> 32);
    return me_clips(kept + more + at->rounding, 31);
}

static void update_state(const me_wide_decays *by, int32_t decay, const int32_t *b, const int32_t *c,
                         me_wide_step *own, int32_t *state, int32_t steps)
{
    for (int32_t t = 0; t < steps; t++, own++) {
        const uint32_t a = decay_factor(own->delta, decay, by);
        *state = next_state(*state, a, own, b[t * READS]);
        const uint64_t more = (uint64_t)((int64_t)*state * c[t * READS]);
        const uint64_t sum = ((uint64_t)(uint32_t)own->high << 32 | own->low) + more;
        own->low = (uint32_t)sum;
        own->high = (int32_t)(sum >> 32);
    }
}

void me_move_wide_states(const me_wide_decays *by, const int32_t *decays, const me_wide_reads *reads,
                         me_wide_step *own, int32_t *states, int32_t steps, int32_t blocks)
{
    for (int32_t i = 0; i < blocks * ME_WIDE_BLOCK; i++) {
        const me_wide_reads *from = reads + i / ME_WIDE_BLOCK * ME_WIDE_STEPS;
        const int32_t place = i % ME_WIDE_BLOCK;
        update_state(by, decays[i], from->b + place, from->c + place, own, states + i, steps);
    }
}

#endif
