/* SPDX-License-Identifier: Apache-2.0 */
#include "me_selective_scan_s16.h"

#include "me_intrinsics.h"
#include "me_selective_wide_rows.h"
#include "me_share.h"
#include "me_wide.h"

/* between barriers: B and C of so many STEPS are prepared for all channels */
enum { STEPS = ME_WIDE_STEPS, BLOCK = ME_WIDE_BLOCK };

/* Where the parts of scratch begin: blocks of a step lie one behind the other. */
typedef struct {
    me_wide_reads *reads;
    me_wide_step *own;
    int32_t *states;
    int32_t blocks;
} places;

static inline places places_of(const me_selective_scan_s16_params *op)
{
    const int32_t blocks = (op->states + BLOCK - 1) / BLOCK;
    int8_t *own = op->scratch + STEPS * blocks * (int32_t)sizeof(me_wide_reads);
    return (places){ (me_wide_reads *)(void *)op->scratch, (me_wide_step *)(void *)own + ME_CORE() * STEPS,
                     (int32_t *)(void *)(own + 8 * STEPS * (int32_t)sizeof(me_wide_step)), blocks };
}

/* A number less its zero point, moved up. */
static inline int32_t centred(const void *x, int32_t i, int32_t wide, int32_t zero, int32_t up)
{
    return (int32_t)((uint32_t)(me_wide_load(x, i, wide) - zero) << up);
}

/* B and C of some steps from row on, shared by all cores; behind the last states 0. */
static void prepare_reads(const me_selective_scan_s16_params *op, const me_selective_scan_s16_tile *tile,
                          const places *at, int32_t row, int32_t steps)
{
    for (int32_t step = ME_FIRST(steps); step < ME_LAST(steps); step++)
        for (int32_t s = 0; s < at->blocks * BLOCK; s++) {
            me_wide_reads *to = at->reads + s / BLOCK * STEPS + step;
            const int32_t is_state = s < op->states, i = (row + step) * op->states + s;
            to->b[s % BLOCK] = is_state ? centred(tile->b, i, op->b_wide, op->b_zero, op->b_up) : 0;
            to->c[s % BLOCK] = is_state ? centred(tile->c, i, op->c_wide, op->c_zero, 0) : 0;
        }
}

static inline int32_t upper(int32_t a, int32_t b)
{
    return (int32_t)((int64_t)a * b >> 32);
}

/* What the states of a channel read in some steps, sums 0. */
static void begin_channel(const me_selective_scan_s16_params *op, const me_selective_scan_s16_tile *tile,
                          int32_t term, int32_t from, me_wide_step *own, int32_t steps)
{
    for (int32_t t = 0; t < steps; t++, from += tile->width) {
        const int32_t now = me_max(me_wide_load(tile->delta, from, op->delta_wide) - op->delta_zero, 0);
        const int32_t delta = now << op->delta_up;
        const int32_t v = upper(delta, centred(tile->x, from, op->x_wide, op->x_zero, op->x_up));
        own[t] = (me_wide_step){ delta, upper((int32_t)((uint32_t)v << op->v_up), term), 0, 0 };
    }
}

static inline int64_t sum_of(const me_wide_step *step)
{
    return (int64_t)((uint64_t)(uint32_t)step->high << 32 | step->low);
}

/* Results of some steps of a channel. */
static void read_channel(const me_selective_scan_s16_params *op, const me_selective_scan_s16_tile *tile,
                         const me_selective_wide_channel *channel, int32_t from, const me_wide_step *own,
                         int32_t steps)
{
    const me_selective_wide_channel by = *channel;
    const int64_t half = (int64_t)1 << by.out_shift >> 1;
    for (int32_t t = 0; t < steps; t++, from += tile->width) {
        const int64_t sum = sum_of(own + t) >> by.sum_drop;
        const int32_t kept = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : (int32_t)sum;
        const int32_t x = me_wide_load(tile->x, from, op->x_wide) - op->x_zero;
        const int64_t y = (((int64_t)kept * by.sum_mult + (int64_t)x * by.skip + half) >> by.out_shift) + op->y_zero;
        const int32_t limited = y > op->high ? op->high : y < op->low ? op->low : (int32_t)y;
        me_limited_store(tile->y, from, op->y_wide, limited, op->low, op->high);
    }
}

/* Some steps of this core's channels. */
static void move_channels(const me_selective_scan_s16_params *op, const me_selective_scan_s16_tile *tile,
                          const places *at, int32_t row, int32_t first_step, int32_t steps)
{
    const int32_t filled = at->blocks * BLOCK, width = tile->width;
    const me_wide_decays by = { (const int32_t *)(const void *)op->powers, op->most, op->decay_up };
    for (int32_t d = ME_FIRST(width); d < ME_LAST(width); d++) {
        const me_selective_wide_channel *channel = tile->channels + d;
        int32_t *states = at->states + d * filled;
        for (int32_t i = 0; first_step == 0 && i < filled; i++)
            states[i] = 0;
        begin_channel(op, tile, channel->term, row * width + d, at->own, steps);
        me_move_wide_states(&by, tile->decay + d * filled, at->reads, at->own, states, steps, at->blocks);
        read_channel(op, tile, channel, row * width + d, at->own, steps);
    }
}

void me_selective_scan_s16(const me_selective_scan_s16_params *op, const me_selective_scan_s16_tile *tile)
{
    const places at = places_of(op);
    for (int32_t batch = 0; batch < tile->batch; batch++)
        for (int32_t step = 0; step < op->n; step += STEPS) {
            const int32_t steps = me_min(op->n - step, STEPS), row = batch * op->n + step;
            ME_SYNC(); /* the steps before are done */
            prepare_reads(op, tile, &at, row, steps);
            ME_SYNC();
            move_channels(op, tile, &at, row, step, steps);
        }
}
