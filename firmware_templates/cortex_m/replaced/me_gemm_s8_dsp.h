/* SPDX-License-Identifier: Apache-2.0
 * Blocks of me_gemm_s8_block.c with SMLAD, two pixels at once, where there is the DSP extension.
 */
#ifndef ME_GEMM_S8_DSP_H
#define ME_GEMM_S8_DSP_H

#include "me_gemm_s8_block.h"
#include "me_math.h"
#include "me_two_pixels.h"

#ifdef ME_DSP

static void me_expand_pair(uint32_t *to, const int8_t *x0, const int8_t *x1, int32_t steps)
{
    for (int32_t step = 0; step < steps; step++, to += 4) {
        const uint32_t a = me_next_w(&x0), b = me_next_w(&x1);
        to[0] = me_even_b(a);
        to[1] = me_odd_b(a);
        to[2] = me_even_b(b);
        to[3] = me_odd_b(b);
    }
}

/* Taps and sums of two pixels. */
enum { ME_PAIR_STEPS = 64, ME_PAIR_BLOCKS = 8 };
typedef struct {
    me_two_pixels work;
    uint32_t taps[4 * ME_PAIR_STEPS];
    int32_t sums[8 * ME_PAIR_BLOCKS];
} me_pair;

/* Sums that begin at the biases and `rows`, of `blocks` blocks. */
static void me_begin_sums(int32_t *sums, const me_channel *to, const int32_t *rows, int32_t blocks)
{
    for (int32_t c = 0; c < 4 * blocks; c += 2, to += 2, sums += 4)
        for (int32_t i = 0; i < 4; i++)
            sums[i] = to[i & 1].bias + rows[i >> 1];
}

/* Computes steps [step, step + steps) of blocks [first, first + blocks) of two pixels. */
static void me_some_steps(const me_block *b, me_pair *pair, const int8_t *const *x, int8_t *y, int32_t first,
                          int32_t blocks, int32_t step, int32_t steps)
{
    me_two_pixels *work = &pair->work;
    me_expand_pair(pair->taps, x[0] + 4 * step, x[1] + 4 * step, steps);
    work->weights = b->weights + 16 * (first * b->steps + step);
    work->channels = b->channels + 4 * first;
    work->y = y + 4 * first;
    work->end = work->y + 4 * blocks;
    me_run_two_pixels(work);
}

/* The same for all steps; sums begin at the biases and `rows`, if there are any. */
__attribute__((noinline)) static void me_some_blocks(const me_block *b, me_pair *pair, const int8_t *const *x,
                                                     const int32_t *rows, int8_t *y, int32_t first,
                                                     int32_t blocks)
{
    me_two_pixels *work = &pair->work;
    if (rows)
        me_begin_sums(pair->sums, b->channels + 4 * first, rows, blocks);
    for (int32_t step = 0; step < b->steps; step += ME_PAIR_STEPS) {
        const int32_t steps = me_min(b->steps - step, ME_PAIR_STEPS);
        work->steps = steps;
        work->step = 8 - 16 * steps;
        work->next = 16 * (b->steps - steps) - 8;
        work->from = rows || step > 0 ? pair->sums : 0;
        work->to = step + steps < b->steps ? pair->sums : 0;
        work->special = 1;
        me_some_steps(b, pair, x, y, first, blocks, step, steps);
    }
}

/* -> the pixels whose blocks of four channels were computed, two at a time; x_step is 4 */
static int32_t me_pairs_of_pixels(const me_block *b, me_pair *pair, const int8_t *const *x,
                                  const int32_t *rows, int8_t *y, int32_t pixels)
{
    int32_t done = 0;
    for (; done + 2 <= pixels; done += 2, x += 2, y += 2 * b->y_stride)
        if (b->steps <= ME_PAIR_STEPS && !rows)
            me_some_steps(b, pair, x, y, 0, b->blocks, 0, b->steps);
        else
            for (int32_t first = 0; first < b->blocks; first += ME_PAIR_BLOCKS)
                me_some_blocks(b, pair, x, rows ? rows + done : 0, y, first,
                               me_min(b->blocks - first, ME_PAIR_BLOCKS));
    return done;
}

/* Sets the fields for pairs of few steps, without `rows`. */
static void me_begin_pair(me_pair *pair, const me_block *b)
{
    pair->work = (me_two_pixels){ .step = 8 - 16 * b->steps,
                                  .next = -8,
                                  .y_stride = b->y_stride,
                                  .taps = pair->taps,
                                  .steps = b->steps,
                                  .special = b->pre || b->limits,
                                  .pre = b->pre,
                                  .limits = b->limits,
                                  .low = (int8_t)b->low,
                                  .high = (int8_t)b->high };
}

ME_ADD_1X4(me_add_1x4, ME_TAPS_OF_BYTES)
#endif

#endif
