/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_scan.h"

#include "me_intrinsics.h"
#include "me_math.h"
#include "me_share.h"

/* STEPS   between barriers: B and C of so many are prepared for all channels
 * POINT, INDEX   bits behind the point of halvings, those of them that the table is read by */
enum { STEPS = 32, BLOCK = 4, POINT = 22, INDEX = 10 };

/* What all states of a channel read in a step, and the sum of what is read of them: delta, u in the
 * lower and in the upper half of a word. */
typedef struct {
    uint32_t delta, low, high;
    int32_t sum;
} channel_step;

/* Of four states in a step: two words of B, two of C. */
typedef struct {
    uint32_t b[2], c[2];
} block_step;

/* Where the parts of scratch begin: blocks of a step lie one behind the other. */
typedef struct {
    block_step *reads;
    channel_step *own;
    int16_t *states;
    int32_t blocks;
} places;

static inline places places_of(const me_selective_scan_s8_params *op)
{
    const int32_t blocks = (op->states + BLOCK - 1) / BLOCK;
    int8_t *own = op->scratch + STEPS * blocks * (int32_t)sizeof(block_step);
    return (places){ (block_step *)(void *)op->scratch,
                     (channel_step *)(void *)own + ME_CORE() * STEPS,
                     (int16_t *)(void *)(own + 8 * STEPS * (int32_t)sizeof(channel_step)), blocks };
}

/* Number i of a row, less its zero point, moved up; behind the last 0. */
static inline int32_t centred(const int8_t *row, int32_t i, int32_t n, int32_t zero, int32_t up)
{
    return i < n ? (int32_t)((uint32_t)(row[i] - zero) << up) : 0;
}

/* B and C of some steps, shared by all cores. */
static void prepare_reads(const me_selective_scan_s8_params *op, const places *at, const int8_t *b, const int8_t *c,
                          int32_t steps)
{
    const int32_t n = op->states, up = op->b_shift;
    for (int32_t i = ME_FIRST(steps * at->blocks); i < ME_LAST(steps * at->blocks); i++) {
        const int32_t step = i / at->blocks, block = i - step * at->blocks, row = step * n;
        block_step *to = at->reads + block * STEPS + step;
        for (int32_t k = 0; k < 2; k++) {
            const int32_t s = block * BLOCK + 2 * k;
            to->b[k] = me_pack_h(centred(b + row, s, n, op->b_zero, up), centred(b + row, s + 1, n, op->b_zero, up));
            to->c[k] = me_pack_h(centred(c + row, s, n, op->c_zero, 0), centred(c + row, s + 1, n, op->c_zero, 0));
        }
    }
}

static void prepare_channel(const me_selective_scan_s8_params *op, channel_step *to, const int8_t *delta,
                            const int8_t *x, int32_t term, int32_t width, int32_t steps)
{
    const int32_t shift = op->term_shift, half = 1 << shift >> 1;
    for (int32_t t = 0; t < steps; t++, delta += width, x += width, to++) {
        const int32_t now = me_max(*delta - op->delta_zero, 0);
        const int32_t u = me_clips((now * (*x - op->x_zero) * term + half) >> shift, 16);
        *to = (channel_step){ (uint32_t)now, (uint32_t)u & 0xFFFFu, (uint32_t)u << 16, 0 };
    }
}

/* A state decayed, and what is added to it. */
static inline int32_t moved(int32_t state, uint32_t halvings, const int16_t *halves, int32_t more)
{
    const uint32_t p = me_minu(halvings, (32u << POINT) - 1);
    const int32_t a = halves[me_extractu(p, INDEX, POINT - INDEX)] >> (p >> POINT);
    return me_clips(me_macsRN(more, a, state, 15), 16);
}

/* Four states of a channel through some steps. */
static void move_states(const int16_t *halves, const uint16_t *decays, int32_t up, const block_step *reads,
                        channel_step *own, int16_t *states, int32_t steps)
{
    const uint32_t d0 = (uint32_t)decays[0] << up, d1 = (uint32_t)decays[1] << up;
    const uint32_t d2 = (uint32_t)decays[2] << up, d3 = (uint32_t)decays[3] << up;
    int32_t s0 = states[0], s1 = states[1], s2 = states[2], s3 = states[3];
    for (int32_t t = 0; t < steps; t++, own++, reads++) {
        const uint32_t delta = own->delta, low = own->low, high = own->high;
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

static void read_out(const me_selective_scan_s8_params *op, const me_selective_channel *channel,
                     const channel_step *from, const int8_t *x, int8_t *y, int32_t width, int32_t steps)
{
    const int32_t offset = channel->offset - op->x_zero * channel->skip;
    for (int32_t t = 0; t < steps; t++, x += width, y += width, from++) {
        const int32_t sum = (from->sum >> op->pre) * channel->mult + (*x * channel->skip + offset);
        *y = me_clip8(sum >> channel->shift);
    }
}

/* Some steps of this core's channels. */
static void move_channels(const me_selective_scan_s8_params *op, const me_selective_scan_s8_tile *tile,
                          const places *at, int32_t row, int32_t first_step, int32_t steps)
{
    const int32_t filled = at->blocks * BLOCK, width = tile->width;
    const int16_t *halves = (const int16_t *)(const void *)op->halves;
    for (int32_t d = ME_FIRST(width); d < ME_LAST(width); d++) {
        const int32_t from = row * width + d;
        int16_t *states = at->states + d * filled;
        for (int32_t i = 0; first_step == 0 && i < filled; i++)
            states[i] = 0;
        prepare_channel(op, at->own, tile->delta + from, tile->x + from, tile->channels[d].term, width, steps);
        for (int32_t block = 0; block < at->blocks; block++)
            move_states(halves, tile->decay + d * filled + block * BLOCK, op->decay_shift,
                        at->reads + block * STEPS, at->own, states + block * BLOCK, steps);
        read_out(op, tile->channels + d, at->own, tile->x + from, tile->y + from, width, steps);
    }
}

void me_selective_scan_s8(const me_selective_scan_s8_params *op, const me_selective_scan_s8_tile *tile)
{
    const places at = places_of(op);
    for (int32_t batch = 0; batch < tile->batch; batch++)
        for (int32_t step = 0; step < op->n; step += STEPS) {
            const int32_t steps = me_min(op->n - step, STEPS), row = batch * op->n + step;
            ME_SYNC(); /* the steps before are done */
            prepare_reads(op, &at, tile->b + row * op->states, tile->c + row * op->states, steps);
            ME_SYNC();
            move_channels(op, tile, &at, row, step, steps);
        }
}
