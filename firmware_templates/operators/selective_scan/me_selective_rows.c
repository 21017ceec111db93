/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

/* bits behind the point of halvings, those of them that the table is read by */
enum { POINT = 22, INDEX = 10 };

void me_begin_channel(const me_channel_run *run, me_channel_step *own, const int8_t *delta, const int8_t *x,
                      int32_t steps)
{
    for (int32_t t = 0; t < steps; t++, delta += run->step, x += run->step, own++) {
        const int32_t now = me_max(*delta - run->delta_zero, 0);
        const int32_t u = me_clips((now * (*x - run->x_zero) * run->term + run->half) >> run->term_shift, 16);
        *own = (me_channel_step){ (uint32_t)now, me_pack_h(u, u), 0 };
    }
}

/* A state decayed, and what is added to it. */
static inline int32_t moved(int32_t state, uint32_t halvings, const int16_t *halves, int32_t more)
{
    const uint32_t p = me_minu(halvings, (32u << POINT) - 1);
    const int32_t a = halves[me_extractu(p, INDEX, POINT - INDEX)] >> (p >> POINT);
    return me_clips(me_macsRN(more, a, state, 15), 16);
}

static void move_block(const int16_t *halves, const uint16_t *decays, int32_t up, const me_block_step *reads,
                       me_channel_step *own, int16_t *states, int32_t steps)
{
    const uint32_t d0 = (uint32_t)decays[0] << up, d1 = (uint32_t)decays[1] << up;
    const uint32_t d2 = (uint32_t)decays[2] << up, d3 = (uint32_t)decays[3] << up;
    int32_t s0 = states[0], s1 = states[1], s2 = states[2], s3 = states[3];
    for (int32_t t = 0; t < steps; t++, own++, reads++) {
        const uint32_t delta = own->delta, low = own->both & 0xFFFFu, high = own->both & 0xFFFF0000u;
        s0 = moved(s0, delta * d0, halves, me_dotsp_h(low, reads->b[0]));
        s1 = moved(s1, delta * d1, halves, me_dotsp_h(high, reads->b[0]));
        s2 = moved(s2, delta * d2, halves, me_dotsp_h(low, reads->b[1]));
        s3 = moved(s3, delta * d3, halves, me_dotsp_h(high, reads->b[1]));
        const int32_t sum = me_sdotsp_h(own->sum, me_pack_h(s0, s1), reads->c[0]);
        own->sum = me_sdotsp_h(sum, me_pack_h(s2, s3), reads->c[1]);
    }
    states[0] = (int16_t)s0;
    states[1] = (int16_t)s1;
    states[2] = (int16_t)s2;
    states[3] = (int16_t)s3;
}

void me_move_states(const int16_t *halves, const uint16_t *decays, int32_t up, const me_block_step *reads,
                    me_channel_step *own, int16_t *states, int32_t steps, int32_t blocks)
{
    for (int32_t i = 0; i < blocks; i++)
        move_block(halves, decays + i * ME_SCAN_BLOCK, up, reads + i * ME_SCAN_STEPS, own,
                   states + i * ME_SCAN_BLOCK, steps);
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
