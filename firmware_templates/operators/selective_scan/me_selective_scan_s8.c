/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_scan.h"

#include "me_intrinsics.h"
#include "me_selective_rows.h"
#include "me_share.h"

/* between barriers: B and C of so many STEPS are prepared for all channels */
enum { STEPS = ME_SCAN_STEPS, BLOCK = ME_SCAN_BLOCK };

/* Where the parts of scratch begin: blocks of a step lie one behind the other. */
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

/* Number i of a row, less its zero point, moved up; behind the last 0. */
static inline int32_t centred(const int8_t *row, int32_t i, int32_t n, int32_t zero, int32_t up)
{
    return i < n ? (int32_t)((uint32_t)(row[i] - zero) << up) : 0;
}

/* B and C of some steps, shared by all cores. */
static void prepare_reads(const me_selective_scan_s8_params *op, const places *at, const int8_t *b,
                          const int8_t *c, int32_t steps)
{
    const int32_t n = op->states, up = op->b_shift;
    for (int32_t step = ME_FIRST(steps); step < ME_LAST(steps); step++) {
        const int8_t *b_row = b + step * n, *c_row = c + step * n;
        me_block_step *to = at->reads + step;
        for (int32_t s = 0; s < n; s += BLOCK, to += STEPS)
            for (int32_t k = 0; k < 2; k++) {
                const int32_t i = s + 2 * k;
                to->b[k] =
                    me_pack_h(centred(b_row, i, n, op->b_zero, up), centred(b_row, i + 1, n, op->b_zero, up));
                to->c[k] =
                    me_pack_h(centred(c_row, i, n, op->c_zero, 0), centred(c_row, i + 1, n, op->c_zero, 0));
            }
    }
}

static inline me_channel_run run_of(const me_selective_scan_s8_params *op,
                                    const me_selective_channel *channel, int32_t step)
{
    return (me_channel_run){ .step = step,
                             .delta_zero = op->delta_zero,
                             .x_zero = op->x_zero,
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
    const int16_t *halves = (const int16_t *)(const void *)op->halves;
    for (int32_t d = ME_FIRST(width); d < ME_LAST(width); d++) {
        const me_channel_run run = run_of(op, tile->channels + d, width);
        const int32_t from = row * width + d;
        int16_t *states = at->states + d * filled;
        for (int32_t i = 0; first_step == 0 && i < filled; i++)
            states[i] = 0;
        me_begin_channel(&run, at->own, tile->delta + from, tile->x + from, steps);
        me_move_states(halves, tile->decay + d * filled, op->decay_shift, at->reads, at->own, states, steps,
                       at->blocks);
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
