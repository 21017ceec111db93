/* SPDX-License-Identifier: Apache-2.0
 * Selective scans of int16 operands: the body of me_selective_instances.def's kernels.
 */
#ifndef ME_SELECTIVE_WIDE_STEPS_H
#define ME_SELECTIVE_WIDE_STEPS_H

#include "me_intrinsics.h"
#include "me_selective_scan_s16.h"
#include "me_selective_stream.h"
#include "me_selective_wide_rows.h"
#include "me_share.h"
#include "me_wide.h"

/* The parts of scratch; the blocks of a step are contiguous. */
typedef struct {
    me_wide_reads *reads;
    me_wide_step *own;
    int32_t *states;
    int32_t blocks;
} me_selective_wide_places;

static inline me_selective_wide_places me_selective_wide_places_of(const me_selective_scan_s16_params *op)
{
    const int32_t blocks = (op->states + ME_WIDE_BLOCK - 1) / ME_WIDE_BLOCK;
    int8_t *own = op->scratch + ME_WIDE_STEPS * blocks * (int32_t)sizeof(me_wide_reads);
    return (me_selective_wide_places){
        (me_wide_reads *)(void *)op->scratch, (me_wide_step *)(void *)own + ME_CORE() * ME_WIDE_STEPS,
        (int32_t *)(void *)(own + 8 * ME_WIDE_STEPS * (int32_t)sizeof(me_wide_step)), blocks
    };
}

/* -> a value minus its zero point, shifted left */
static inline int32_t me_selective_wide_minus_zero(const void *x, int32_t i, int32_t wide, int32_t zero,
                                                   int32_t up)
{
    return (int32_t)((uint32_t)(me_load_wide(x, i, wide) - zero) << up);
}

/* Converts B and C of some steps from `row` on; the cores share the steps; padding after the last states
 * is 0. */
static void me_selective_wide_prepare_reads(const me_selective_scan_s16_params *op,
                                            const me_selective_scan_s16_tile *tile,
                                            const me_selective_wide_places *at, int32_t row, int32_t steps)
{
    for (int32_t step = ME_FIRST(steps); step < ME_LAST(steps); step++)
        for (int32_t s = 0; s < at->blocks * ME_WIDE_BLOCK; s++) {
            me_wide_reads *to = at->reads + s / ME_WIDE_BLOCK * ME_WIDE_STEPS + step;
            const int32_t is_state = s < op->states, i = (row + step) * op->states + s;
            to->b[s % ME_WIDE_BLOCK] =
                is_state ? me_selective_wide_minus_zero(tile->b, i, op->b_wide, op->b_zero, op->b_up) : 0;
            to->c[s % ME_WIDE_BLOCK] =
                is_state ? me_selective_wide_minus_zero(tile->c, i, op->c_wide, op->c_zero, op->c_up) : 0;
        }
}

static inline int32_t me_selective_wide_upper(int32_t a, int32_t b)
{
    return (int32_t)((int64_t)a * b >> 32);
}

/* Reads a column of x: the value at `from` and every `width` values after it, minus their zero point, at
 * least `least`, and shifted left by `up`. Writes `to` at the distance of a me_wide_step. */
static void me_selective_wide_read_column(const void *x, int32_t wide, int32_t from, int32_t width,
                                          int32_t zero, int32_t up, int32_t least, int32_t *to, int32_t steps)
{
    enum { STEP = sizeof(me_wide_step) / sizeof(int32_t) };
    const int16_t *halves = (const int16_t *)x + from;
    const int8_t *bytes = (const int8_t *)x + from;
    for (int32_t t = 0; wide && t < steps; t++, halves += width)
        to[t * STEP] = (int32_t)((uint32_t)me_max(*halves - zero, least) << up);
    for (int32_t t = 0; !wide && t < steps; t++, bytes += width)
        to[t * STEP] = (int32_t)((uint32_t)me_max(*bytes - zero, least) << up);
}

/* Computes the shared inputs of a channel for some steps and sets their sums to 0. Two products are
 * truncated, with a mean error of half a step each; rounding corrects it: one of the products is 0 if u
 * is, and nothing is truncated if delta is 0. */
static void me_selective_wide_begin_channel(const me_selective_scan_s16_params *op,
                                            const me_selective_scan_s16_tile *tile, int32_t term,
                                            int32_t from, me_wide_step *own, int32_t steps, int32_t parity)
{
    const int32_t v_up = op->v_up;
    me_selective_wide_read_column(tile->delta, op->delta_wide, from, tile->width, op->delta_zero,
                                  op->delta_up, 0, &own->delta, steps);
    me_selective_wide_read_column(tile->x, op->x_wide, from, tile->width, op->x_zero, op->x_up, INT32_MIN,
                                  &own->x, steps);
    for (int32_t t = 0; t < steps; t++, own++) {
        const int32_t delta = own->delta,
                      u = me_selective_wide_upper(
                          (int32_t)((uint32_t)me_selective_wide_upper(delta, own->x) << v_up), term);
        own->u = u;
        own->rounding = delta > 0 && (u != 0 || ((t + parity) & 1));
        own->low = 0;
        own->high = 0;
    }
}

/* -> (high, low) >> drop, saturated to int32 */
static inline int32_t me_selective_wide_shift_right(int32_t high, uint32_t low, int32_t drop)
{
    if (drop >= 32)
        return high >> (drop - 32);
    /* cppcheck-suppress shiftTooManyBitsSigned ; compilers shift arithmetically */
    const int32_t word = (int32_t)((uint32_t)high << 1 << (31 - drop) | low >> drop), rest = high >> drop;
    /* cppcheck-suppress shiftTooManyBitsSigned ; -1 or 0: an arithmetic shift */
    return rest == word >> 31 ? word : rest >> 31 ^ INT32_MAX;
}

/* Computes the results of some steps of a channel. */
static void me_selective_wide_read_channel(const me_selective_scan_s16_params *op,
                                           const me_selective_scan_s16_tile *tile,
                                           const me_selective_wide_channel *channel, int32_t from,
                                           const me_wide_step *own, int32_t steps)
{
    const me_selective_wide_channel by = *channel;
    const int32_t half = 1 << by.out_shift >> 1, zero = op->y_zero, wide = op->y_wide, width = tile->width;
    int16_t *halves = (int16_t *)tile->y;
    int8_t *bytes = (int8_t *)tile->y;
    for (int32_t t = 0; t < steps; t++, from += width) {
        const int32_t of_states = me_selective_wide_upper(
            me_selective_wide_shift_right(own[t].high, own[t].low, by.sum_drop), by.sum_mult);
        const int32_t y =
            ((of_states + me_selective_wide_upper(own[t].x, by.skip) + half) >> by.out_shift) + zero;
        if (wide)
            halves[from] = (int16_t)me_clips(y, 16);
        else
            bytes[from] = me_clip8(y);
    }
}

/* Runs some steps of this core's channels. streams: whether states continue from pass to pass; a constant
 * of the kernel */
static void me_selective_wide_update_channels(const me_selective_scan_s16_params *op,
                                              const me_selective_scan_s16_tile *tile,
                                              const me_selective_wide_places *at, int32_t row,
                                              int32_t first_step, int32_t steps, int32_t streams)
{
    const int32_t filled = at->blocks * ME_WIDE_BLOCK, width = tile->width;
    const me_wide_decays by = { (const uint32_t *)(const void *)op->powers, op->most, op->decay_up };
    for (int32_t d = ME_FIRST(width); d < ME_LAST(width); d++) {
        const me_selective_wide_channel *channel = tile->channels + d;
        int32_t *states = at->states + d * filled;
        for (int32_t i = 0; first_step == 0 && i < filled; i++)
            states[i] = streams ? me_first_state(tile->before, row / op->n * width + d, op->states, i) : 0;
        const int32_t parity = streams ? me_parity(tile->before, row / op->n * width + d, op->states) : 0;
        me_selective_wide_begin_channel(op, tile, channel->term, row * width + d, at->own, steps, parity);
        me_move_wide_states(&by, tile->decay + d * filled, at->reads, at->own, states, steps, at->blocks);
        if (streams && op->keeps)
            for (int32_t i = 0; i < op->states; i++)
                me_store_state(tile->y, row / op->n * width + d, op->states, i, states[i]);
        else
            me_selective_wide_read_channel(op, tile, channel, row * width + d, at->own, steps);
    }
}

static inline void me_selective_wide_run(const me_selective_scan_s16_params *op,
                                         const me_selective_scan_s16_tile *tile, int32_t streams)
{
    const me_selective_wide_places at = me_selective_wide_places_of(op);
    for (int32_t batch = 0; batch < tile->batch; batch++)
        for (int32_t step = 0; step < op->n; step += ME_WIDE_STEPS) {
            const int32_t steps = me_min(op->n - step, ME_WIDE_STEPS), row = batch * op->n + step;
            ME_SYNC(); /* all cores have finished the previous steps */
            me_selective_wide_prepare_reads(op, tile, &at, row, steps);
            ME_SYNC();
            me_selective_wide_update_channels(op, tile, &at, row, step, steps, streams);
        }
    if (streams && op->keeps)
        me_store_parity(tile->before, tile->y, tile->batch * tile->width, op->states, op->n);
}

#endif
