/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

/* entries of the table of powers; fraction bits of the product from which an index is taken */
enum { ENTRIES = 8192, DROP = 12 };

void me_begin_channel(const me_channel_run *run, me_channel_step *own, const int8_t *delta, const int8_t *x,
                      int32_t steps)
{
    for (int32_t t = 0; t < steps; t++, delta += run->step, x += run->step, own++) {
        const int32_t now = me_max(*delta - run->delta_zero, 0);
        const int32_t u = me_clips((now * (*x - run->x_zero) * run->term + run->half) >> run->term_shift, 16);
        *own = (me_channel_step){ (uint32_t)now * (uint32_t)run->both, me_pack_h(u, u), 0 };
    }
}

/* Updates a block of states through all steps. Words hold two states, and two decays. */
static void update_block(const int16_t *powers, const uint16_t *decays, const me_block_step *reads,
                         me_channel_step *own, int16_t *states, int32_t steps)
{
    for (int32_t t = 0; t < steps; t++, own++, reads++)
        for (int32_t i = 0; i < ME_SCAN_BLOCK; i++) {
            const int32_t word = i / 2 % 2, half = 16 * (i % 2), u = (int16_t)own->both;
            const uint32_t at = (own->delta & 0xFFFFu) * decays[i] >> DROP;
            const int32_t b = (int16_t)(reads->of[i / 4].b[word] >> half);
            const int32_t c = (int16_t)(reads->of[i / 4].c[word] >> half);
            states[i] =
                (int16_t)me_clips(me_macsRN(u * b, powers[me_minu(at, ENTRIES - 1)], states[i], 15), 16);
            own->sum += states[i] * c;
        }
}

void me_move_limited_states(const int16_t *powers, const uint16_t *decays, const me_block_step *reads,
                            me_channel_step *own, int16_t *states, int32_t steps, int32_t blocks)
{
    for (int32_t i = 0; i < blocks; i++)
        update_block(powers, decays + i * ME_SCAN_BLOCK, reads + i * ME_SCAN_STEPS, own,
                     states + i * ME_SCAN_BLOCK, steps);
}

void me_move_states(const int16_t *powers, const uint16_t *decays, const me_block_step *reads,
                    me_channel_step *own, int16_t *states, int32_t steps, int32_t blocks)
{
    me_move_limited_states(powers, decays, reads, own, states, steps, blocks);
}

static inline int32_t result(const me_channel_run *run, int32_t sum, int32_t x)
{
    return ((sum >> run->pre) * run->mult + (x * run->skip + run->offset)) >> run->shift;
}

void me_read_channel(const me_channel_run *run, const me_channel_step *own, const int8_t *x, int8_t *y,
                     int32_t steps)
{
    for (int32_t t = 0; t < steps; t++, x += run->step, y += run->step, own++)
        *y = me_clip8(result(run, own->sum, *x));
}

void me_read_channel_wide(const me_channel_run *run, const me_channel_step *own, const int8_t *x, int16_t *y,
                          int32_t steps)
{
    for (int32_t t = 0; t < steps; t++, x += run->step, y += run->step, own++)
        *y = (int16_t)me_clips(result(run, own->sum, *x), 16);
}

#endif
