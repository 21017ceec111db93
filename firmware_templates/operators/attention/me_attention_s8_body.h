/* SPDX-License-Identifier: Apache-2.0
 * Attention on the cores, the body of two kernels. The including file
 * defines ME_EXP12: 1 for 12-bit exponentials, 0 for 8-bit exponentials.
 */
#ifndef ME_ATTENTION_S8_BODY_H
#define ME_ATTENTION_S8_BODY_H

#include "me_attention_softmax.h"
#include "me_share.h"

/* The intersection of `keys` with the n keys from `first` on, in whole words; if it is empty, end is
 * first. */
static me_key_span me_attention_intersect(me_key_span keys, int32_t first, int32_t n)
{
    const int32_t from = me_max(keys.first, first);
    return (me_key_span){ from, me_max(me_min(keys.end, first + ((n + 3) & ~3)), from) };
}

/* Sets pointers to four rows starting at `first`; if there are fewer, the last row is repeated. */
static void me_attention_four_rows(const int8_t *rows[4], const int8_t *x, int32_t first, int32_t last,
                                   int32_t stride)
{
    for (int32_t i = 0; i < 4; i++)
        rows[i] = x + me_min(first + i, last) * stride;
}

/* ---- scores: blocks of four rows and four keys, ordered by group of rows */

static void me_attention_score_blocks(const me_attention_work *w, int32_t group, int32_t first, int32_t last)
{
    const me_attention_s8_params *op = w->op;
    const int32_t start = w->tile->first_key, keys = w->tile->keys, whole = me_min(last, (start + keys) / 4);
    me_products of;
    const int32_t words = op->width / 4, turn = ME_FIRST_OF(w->cores, words),
                  stride = w->tile->heads * op->width;
    const int8_t *const q = w->tile->q + 4 * turn, *const k = w->tile->k + 4 * turn;
    me_attention_four_rows(of.a, q, 4 * group, w->tile->rows - 1, stride);
    of.b_step = 4 * stride;
    of.y_stride = w->row;
    of.words = words;
    of.turn = turn;
    of.add = 0;
    of.y = (int32_t *)(void *)me_scores_row(w, 4 * group) + 4 * first;
    of.blocks = whole - first;
    if (of.blocks > 0) {
        me_attention_four_rows(of.b, k, 4 * first - start, keys - 1, stride);
        me_products_signed(&of);
        of.y += 4 * of.blocks;
    }
    if (last > whole) {
        of.blocks = 1;
        me_attention_four_rows(of.b, k, 4 * whole - start, keys - 1, stride);
        me_products_signed(&of);
    }
}

/* The keys of this tile that a group of rows attends to. */
static me_key_span me_attention_keys_of_group(const me_attention_work *w, int32_t group)
{
    return me_attention_intersect(me_seen_keys(w, group), w->tile->first_key, w->tile->keys);
}

static int32_t me_attention_blocks_of(me_key_span keys) { return (keys.end - keys.first) / 4; }

/* Whether all groups attend to the same keys as the first one. Both ends of a row's range grow with the
 * row, so that comparing the last group suffices. */
static int me_attention_same_keys(const me_attention_work *w)
{
    const me_key_span first = me_seen_keys(w, 0), last = me_seen_keys(w, (w->tile->rows - 1) / 4);
    return first.first == last.first && first.end == last.end;
}

/* Number of score blocks of one head. */
static int32_t me_attention_all_score_blocks(const me_attention_work *w)
{
    const int32_t groups = (w->tile->rows + 3) / 4;
    int32_t total = 0;
    if (me_attention_same_keys(w))
        return groups * me_attention_blocks_of(me_attention_keys_of_group(w, 0));
    for (int32_t group = 0; group < groups; group++)
        total += me_attention_blocks_of(me_attention_keys_of_group(w, group));
    return total;
}

static void me_attention_scores(const me_attention_work *w, int32_t first, int32_t last)
{
    const int32_t groups = (w->tile->rows + 3) / 4,
                  each = me_attention_blocks_of(me_attention_keys_of_group(w, 0));
    const int32_t before = first >= each && each > 0 && me_attention_same_keys(w) ? first / each : 0;
    first -= before * each;
    last -= before * each;
    for (int32_t group = before; group < groups && last > 0; group++) {
        const me_key_span keys = me_attention_keys_of_group(w, group);
        const int32_t blocks = me_attention_blocks_of(keys);
        const int32_t from = me_max(first, 0), to = me_min(last, blocks);
        if (from < to)
            me_attention_score_blocks(w, group, keys.first / 4 + from, keys.first / 4 + to);
        first -= blocks;
        last -= blocks;
    }
}

static void me_attention_exponentials(const me_attention_work *w, int32_t first, int32_t last)
{
    for (int32_t row = first; row < last; row++)
        me_exponentials(w, row);
}

/* ---- values: blocks of four rows and four columns; the core that adds the last values requantises the
 * block */

static void me_attention_sum_blocks(const me_attention_work *w, int32_t group, int32_t first, int32_t last)
{
    const me_attention_s8_tile *tile = w->tile;
    const me_key_span all = me_seen_keys(w, group),
                      keys = me_attention_intersect(all, tile->first_value, tile->values);
    me_products of;
    of.words = (keys.end - keys.first) / 4;
    if (of.words == 0)
        return;
    me_attention_four_rows(of.a, tile->scratch + keys.first, 4 * group, tile->rows - 1, w->row);
    me_attention_four_rows(of.b, tile->v + keys.first - tile->first_value, 4 * first, w->op->out_width - 1,
                           tile->values);
    of.b_step = 4 * tile->values;
    of.y_stride = w->row;
    of.blocks = last - first;
    of.add = keys.first > all.first;
    of.turn = 0;
    of.y = (int32_t *)(void *)(me_scores_row(w, 4 * group) + w->filled) + 4 * first;
    me_products_unsigned(&of);
    if (ME_EXP12) {
        me_attention_four_rows(of.a, tile->scratch + w->row - w->filled + keys.first, 4 * group,
                               tile->rows - 1, w->row);
        of.y += w->op->out_width;
        me_products_unsigned(&of);
    }
}

static void me_attention_scale_blocks(const me_attention_work *w, int32_t group, int32_t first, int32_t last)
{
    const int32_t end = me_min(4 * group + 4, w->tile->rows);
    for (int32_t row = 4 * group; row < end; row++)
        me_scale_row(w, row, first, last);
}

static void me_attention_values(const me_attention_work *w, int32_t first, int32_t last)
{
    const int32_t blocks = w->op->out_width / 4;
    while (first < last) {
        const int32_t group = first / blocks, from = first - group * blocks;
        const int32_t to = me_min(blocks, last - group * blocks);
        me_attention_sum_blocks(w, group, from, to);
        if (w->tile->first_value + w->tile->values == w->filled)
            me_attention_scale_blocks(w, group, from, to);
        first = group * blocks + to;
    }
}

/* ---- heads: contiguous work items; a core's share may start in one head and end in another */

/* Computes work items [first, last) of one head. */
typedef void (*me_attention_head_work)(const me_attention_work *w, int32_t first, int32_t last);

static inline me_attention_work me_attention_work_of(const me_attention_s8_params *op,
                                                     const me_attention_s8_tile *tile)
{
    const int32_t filled = (op->keys + 3) / 4 * 4, row = me_attention_row_bytes(op->keys, op->out_width);
    me_row_divisor *divisors = (me_row_divisor *)(void *)(tile->scratch + (tile->rows + 3) / 4 * 4 * row);
    return (me_attention_work){ op, tile, divisors, row, filled, ME_KERNEL_CORES(op->nine_cores) };
}

static void me_attention_of_head(const me_attention_work *w, int32_t head, int32_t first, int32_t last,
                                 me_attention_head_work work)
{
    const me_attention_s8_params *op = w->op;
    const me_attention_s8_tile *all = w->tile;
    const me_attention_s8_tile tile = {
        .q = all->q + head * op->width,
        .k = all->k + head * op->width,
        .v = all->v + head * op->out_width * all->values,
        .y = all->y + head * (op->out_width << op->y_wide),
        .bias = all->bias + head * all->bias_step,
        .mask = all->mask + head * all->mask_step,
        .scratch = all->scratch + head * me_attention_scratch_bytes(op, all->rows),
        .rows = all->rows,
        .first_row = all->first_row,
        .heads = all->heads,
        .keys = all->keys,
        .first_key = all->first_key,
        .values = all->values,
        .first_value = all->first_value,
    };
    const me_attention_work own = me_attention_work_of(op, &tile);
    work(&own, first, last);
}

static __attribute__((noinline)) void me_attention_of_heads(const me_attention_work *w, int32_t parts,
                                                            me_attention_head_work work)
{
    const int32_t total = w->tile->heads * parts, last = ME_LAST_OF(w->cores, total);
    int32_t first = ME_FIRST_OF(w->cores, total);
    while (first < last) {
        const int32_t head = first / parts, start = head * parts;
        me_attention_of_head(w, head, first - start, me_min(last - start, parts), work);
        first = start + parts;
    }
}

/* Runs `work` on this core's share of the `parts` work items of every head. */
static inline __attribute__((always_inline)) void me_attention_share_out(const me_attention_work *w,
                                                                         int32_t parts,
                                                                         me_attention_head_work work)
{
    if (w->tile->heads > 1)
        me_attention_of_heads(w, parts, work);
    else
        work(w, ME_FIRST_OF(w->cores, parts), ME_LAST_OF(w->cores, parts));
}

static inline void me_attention_all(const me_attention_s8_params *op, const me_attention_s8_tile *tile)
{
    const me_attention_work w = me_attention_work_of(op, tile);
    if (tile->keys > 0)
        me_attention_share_out(&w, me_attention_all_score_blocks(&w), me_attention_scores);
    if (tile->keys > 0 && tile->first_key + tile->keys == op->keys) {
        ME_SYNC_OF(w.cores);
        me_attention_share_out(&w, tile->rows, me_attention_exponentials);
        ME_SYNC_OF(w.cores);
    }
    if (tile->values > 0)
        me_attention_share_out(&w, (tile->rows + 3) / 4 * (op->out_width / 4), me_attention_values);
}

#endif
