/* SPDX-License-Identifier: Apache-2.0
 * Selective scans of int8 operands: the body of me_selective_instances.def's kernels.
 */
#ifndef ME_SELECTIVE_SCAN_STEPS_H
#define ME_SELECTIVE_SCAN_STEPS_H

#include "me_intrinsics.h"
#include "me_selective_rows.h"
#include "me_selective_scan.h"
#include "me_selective_stream.h"
#include "me_share.h"

_Static_assert(ME_SCAN_BLOCK == 8, "me_block_step has four words of B and four of C");

/* The parts of scratch; the blocks of a step are contiguous. */
typedef struct {
    me_block_step *reads;
    me_channel_step *own;
    int16_t *states;
    int32_t blocks;
} me_selective_places;

static inline me_selective_places me_selective_places_of(const me_selective_scan_s8_params *op)
{
    const int32_t blocks = (op->states + ME_SCAN_BLOCK - 1) / ME_SCAN_BLOCK;
    int8_t *own = op->scratch + ME_SCAN_STEPS * blocks * (int32_t)sizeof(me_block_step);
    return (me_selective_places){
        (me_block_step *)(void *)op->scratch, (me_channel_step *)(void *)own + ME_CORE() * ME_SCAN_STEPS,
        (int16_t *)(void *)(own + 8 * ME_SCAN_STEPS * (int32_t)sizeof(me_channel_step)), blocks
    };
}

/* Writes four values of a row, minus their zero point and shifted left by `up`; values from index `left`
 * on are 0. */
static inline void me_selective_put_four(uint32_t *to, const int8_t *row, int32_t left, int32_t zero,
                                         int32_t up)
{
    int32_t x[4];
    for (int32_t k = 0; k < 4; k++)
        x[k] = left >= 4 || k < left ? (int32_t)((uint32_t)(row[k] - zero) << up) : 0;
    to[0] = me_pack_h(x[0], x[1]);
    to[1] = me_pack_h(x[2], x[3]);
}

/* Converts B and C of some steps; the cores share the steps. */
static void me_selective_prepare_reads(const me_selective_scan_s8_params *op, const me_selective_places *at,
                                       const int8_t *b, const int8_t *c, int32_t steps)
{
    const int32_t n = op->states, b_zero = op->b_zero, c_zero = op->c_zero, up = op->b_shift;
    for (int32_t step = ME_FIRST(steps); step < ME_LAST(steps); step++) {
        const int8_t *b_row = b + step * n, *c_row = c + step * n;
        me_block_step *to = at->reads + step;
        for (int32_t s = 0; s < at->blocks * ME_SCAN_BLOCK; s += 4) {
            me_selective_put_four(to->of[s / 4 % 2].b, b_row + s, n - s, b_zero, up);
            me_selective_put_four(to->of[s / 4 % 2].c, c_row + s, n - s, c_zero, 0);
            to += s / 4 % 2 ? ME_SCAN_STEPS : 0;
        }
    }
}

static inline me_channel_run me_selective_run_of(const me_selective_scan_s8_params *op,
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

/* Runs some steps of this core's channels. streams: whether states continue from pass to pass; a constant
 * of the kernel */
static void me_selective_update_channels(const me_selective_scan_s8_params *op,
                                         const me_selective_scan_s8_tile *tile, const me_selective_places *at,
                                         int32_t row, int32_t first_step, int32_t steps, int32_t streams)
{
    const int32_t filled = at->blocks * ME_SCAN_BLOCK, width = tile->width;
    me_move_work *const move = op->limited ? me_move_limited_states : me_move_states;
    for (int32_t d = ME_FIRST(width); d < ME_LAST(width); d++) {
        const me_channel_run run = me_selective_run_of(op, tile->channels + d, width);
        const int32_t from = row * width + d;
        int16_t *states = at->states + d * filled;
        for (int32_t i = 0; first_step == 0 && i < filled; i++)
            states[i] =
                streams ? (int16_t)me_first_state(tile->before, row / op->n * width + d, op->states, i) : 0;
        me_begin_channel(&run, at->own, tile->delta + from, tile->x + from, steps);
        move(op->powers, tile->decay + d * filled, at->reads, at->own, states, steps, at->blocks);
        if (streams && op->keeps)
            for (int32_t i = 0; i < op->states; i++)
                me_store_state(tile->y, row / op->n * width + d, op->states, i, states[i]);
        else if (op->y_wide)
            me_read_channel_wide(&run, at->own, tile->x + from, (int16_t *)tile->y + from, steps);
        else
            me_read_channel(&run, at->own, tile->x + from, (int8_t *)tile->y + from, steps);
    }
}

static inline void me_selective_scan_run(const me_selective_scan_s8_params *op,
                                         const me_selective_scan_s8_tile *tile, int32_t streams)
{
    const me_selective_places at = me_selective_places_of(op);
    for (int32_t batch = 0; batch < tile->batch; batch++)
        for (int32_t step = 0; step < op->n; step += ME_SCAN_STEPS) {
            const int32_t steps = me_min(op->n - step, ME_SCAN_STEPS), row = batch * op->n + step;
            ME_SYNC(); /* all cores have finished the previous steps */
            me_selective_prepare_reads(op, &at, tile->b + row * op->states, tile->c + row * op->states,
                                       steps);
            ME_SYNC();
            me_selective_update_channels(op, tile, &at, row, step, steps, streams);
        }
    if (streams && op->keeps)
        me_store_parity(tile->before, tile->y, tile->batch * tile->width, op->states, op->n);
}

#endif
