/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_scan.h"

#include "me_intrinsics.h"
#include "me_selective_rows.h"
#include "me_share.h"

/* between barriers: B and C of so many STEPS are prepared for all channels */
enum { STEPS = ME_SCAN_STEPS, BLOCK = ME_SCAN_BLOCK };
_Static_assert(BLOCK == 8, "me_block_step has four words of B and four of C");

/* Where the parts of scratch begin: blocks of a step are one after the other. */
typedef struct {
    me_block_step *reads;
    me_channel_step *own;
    int16_t *states;
    int32_t blocks;
} places;

static inline places places_of(const me_selective_scan_s8_params *op)
{
    const int32_t blocks = (op->states + BLOCK - 1) / BLOCK;
    int8_t *own = op->scratch + STEPS * blocks * (int32_t)sizeof(me_block_step);
    return (places){ (me_block_step *)(void *)op->scratch, (me_channel_step *)(void *)own + ME_CORE() * STEPS,
                     (int16_t *)(void *)(own + 8 * STEPS * (int32_t)sizeof(me_channel_step)), blocks };
}

/* Four numbers of a row, minus their zero point, moved up; of `left` numbers, then 0. */
static inline void put_four(uint32_t *to, const int8_t *row, int32_t left, int32_t zero, int32_t up)
{
    int32_t x[4];
    for (int32_t k = 0; k < 4; k++)
        x[k] = left >= 4 || k < left ? (int32_t)((uint32_t)(row[k] - zero) << up) : 0;
    to[0] = me_pack_h(x[0], x[1]);
    to[1] = me_pack_h(x[2], x[3]);
}

/* B and C of some steps, shared by all cores. */
static void prepare_reads(const me_selective_scan_s8_params *op, const places *at, const int8_t *b,
                          const int8_t *c, int32_t steps)
{
    const int32_t n = op->states, b_zero = op->b_zero, c_zero = op->c_zero, up = op->b_shift;
    for (int32_t step = ME_FIRST(steps); step < ME_LAST(steps); step++) {
        const int8_t *b_row = b + step * n, *c_row = c + step * n;
        me_block_step *to = at->reads + step;
        for (int32_t s = 0; s < at->blocks * BLOCK; s += 4) {
            put_four(to->of[s / 4 % 2].b, b_row + s, n - s, b_zero, up);
            put_four(to->of[s / 4 % 2].c, c_row + s, n - s, c_zero, 0);
            to += s / 4 % 2 ? STEPS : 0;
        }
    }
}

static inline me_channel_run run_of(const me_selective_scan_s8_params *op,
                                    const me_selective_channel *channel, int32_t step)
{
    return (me_channel_run){ .step = step,
                             .delta_zero = op->delta_zero,
                             .x_zero = op->x_zero,
                             .both = 0x10001 << channel->delta_up,
                             .term = channel->term,
                             .half = 1 << op->term_shift >> 1,
                             .term_shift = op->term_shift,
                             .pre = op->pre,
                             .mult = channel->mult,
                             .skip = channel->skip,
                             .offset = channel->offset - op->x_zero * channel->skip,
                             .shift = channel->shift };
}

/* Some steps of this core's channels. */
static void move_channels(const me_selective_scan_s8_params *op, const me_selective_scan_s8_tile *tile,
                          const places *at, int32_t row, int32_t first_step, int32_t steps)
{
    const int32_t filled = at->blocks * BLOCK, width = tile->width;
    me_move_work *const move = op->limited ? me_move_limited_states : me_move_states;
    for (int32_t d = ME_FIRST(width); d < ME_LAST(width); d++) {
        const me_channel_run run = run_of(op, tile->channels + d, width);
        const int32_t from = row * width + d;
        int16_t *states = at->states + d * filled;
        for (int32_t i = 0; first_step == 0 && i < filled; i++)
            states[i] = 0;
        me_begin_channel(&run, at->own, tile->delta + from, tile->x + from, steps);
        move(op->powers, tile->decay + d * filled, at->reads, at->own, states, steps, at->blocks);
        if (op->y_wide)
            me_read_channel_wide(&run, at->own, tile->x + from, (int16_t *)tile->y + from, steps);
        else
            me_read_channel(&run, at->own, tile->x + from, (int8_t *)tile->y + from, steps);
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
