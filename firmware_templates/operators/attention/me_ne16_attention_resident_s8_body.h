/* SPDX-License-Identifier: Apache-2.0
 * Attention on NE16 with bit planes that stay in L1, the body of two kernels. The including file
 * defines ME_EXP12: 1 for 12-bit exponentials, 0 for 8-bit exponentials.
 */
#ifndef ME_NE16_ATTENTION_RESIDENT_S8_BODY_H
#define ME_NE16_ATTENTION_RESIDENT_S8_BODY_H

#include "me_ne16_attention_resident_s8.h"
#include "me_attention_softmax.h"
#include "me_bit_planes.h"
#include "me_layout_rows.h"
#include "me_ne16_layer.h"
#include "me_share.h"
#include "me_unsigned.h"

/* Keys per packing step; bytes of a table; bytes from one core's table to the next. */
enum { ME_NE16_CORES = 9, ME_NE16_KEYS = 16, ME_NE16_TABLE = 512, ME_NE16_TABLE_STEP = ME_NE16_TABLE + 4 };

typedef struct {
    me_attention_s8_params op; /* uses this core's copy of the table */
    const me_ne16_attention_resident_s8_tile *tile;
    int32_t filled, row, packings;
    me_row_divisor *divisors;
    uint8_t *q, *multipliers, *tables, *k_planes, *v_planes;
    int32_t *terms, *running;
} me_ne16_attention_work;

/* Copies the table for each core, into different banks of L1: accesses of cores and engine to one bank
 * wait for each other. */
static uint8_t *me_ne16_table_of(const me_ne16_attention_work *a)
{
    return a->tables + ME_CORE() * ME_NE16_TABLE_STEP;
}

static me_ne16_attention_work me_ne16_work_of(const me_attention_s8_params *op,
                                              const me_ne16_attention_resident_s8_tile *tile)
{
    const int32_t filled = (op->keys + 3) / 4 * 4, rows = 2 * tile->part_rows;
    me_ne16_attention_work a;
    a.tile = tile;
    a.filled = filled;
    a.row = ME_EXP12 ? 5 * filled + 8 * op->out_width : 4 * (filled + op->out_width);
    a.packings = (op->keys + ME_NE16_KEYS - 1) / ME_NE16_KEYS;
    a.divisors = (me_row_divisor *)(void *)(tile->scratch + rows * a.row);
    a.q = (uint8_t *)(a.divisors + rows);
    a.terms = (int32_t *)(void *)(a.q + rows * op->width);
    a.multipliers = (uint8_t *)(a.terms + filled);
    a.running = (int32_t *)(void *)(a.multipliers + filled);
    a.tables = (uint8_t *)(a.running + 1);
    a.k_planes = ME_EXP12 ? a.tables : a.tables + ME_NE16_CORES * ME_NE16_TABLE_STEP;
    a.v_planes = a.k_planes + op->keys * me_ne16_plane_bytes(op->width);
    me_copy_words((const int8_t *)op, (int8_t *)&a.op, sizeof a.op / 4);
    if (!ME_EXP12)
        a.op.exp = me_ne16_table_of(&a);
    return a;
}

/* ---- keys and values as weights of the engine */

static void me_ne16_pack_keys(const me_ne16_attention_work *a, int32_t first, int32_t n)
{
    const int32_t width = a->op.width;
    for (int32_t i = ME_FIRST_OF(ME_NE16_CORES, n); i < ME_LAST_OF(ME_NE16_CORES, n); i++) {
        uint8_t *planes = a->k_planes + (first + i) * me_ne16_plane_bytes(width);
        a->terms[first + i] = -128 * me_bit_planes_row(a->tile->k + i * width, width, planes);
        a->multipliers[first + i] = 1;
    }
}

/* Called by cores 0 .. 7; core 8 reaches each tile later. */
static void me_ne16_pack_values(const me_ne16_attention_work *a, int32_t first, int32_t n)
{
    const int32_t columns = ME_IS_CONTROL_CORE() ? 0 : a->op.out_width;
    for (int32_t i = ME_FIRST(columns); i < ME_LAST(columns); i++)
        me_bit_planes_row(a->tile->v + i * n, n, a->v_planes + i * me_ne16_plane_bytes(a->filled) + first);
}

static void me_ne16_begin_head(const me_ne16_attention_work *a, const uint8_t *exp)
{
    if (!ME_EXP12) /* tables of 12 bits are too large for copies */
        me_copy_words((const int8_t *)exp, (int8_t *)me_ne16_table_of(a), ME_NE16_TABLE / 4);
    if (ME_CORE() == 0)
        *a->running = 0;
}

/* ---- parts of the rows by index; an index below 0 or after the last part has no rows */

static int32_t me_ne16_rows_of(const me_ne16_attention_work *a, int32_t part)
{
    const int32_t n = a->tile->part_rows;
    return part < 0 ? 0 : me_max(me_min(n, a->tile->rows - part * n), 0);
}

/* Index of a part's first row in an operand of the tile. later: number of steps after reading q in which
 * the operand is read or written. */
static int32_t me_ne16_first_row(const me_ne16_attention_work *a, int32_t part, int32_t later)
{
    return (part - me_max(a->tile->first - a->packings + 1 - later, 0)) * a->tile->part_rows;
}

static int8_t *me_ne16_scores_of(const me_ne16_attention_work *a, int32_t part)
{
    return a->tile->scratch + (part & 1) * a->tile->part_rows * a->row;
}

static uint8_t *me_ne16_q_of(const me_ne16_attention_work *a, int32_t part)
{
    return a->q + (part & 1) * a->tile->part_rows * a->op.width;
}

/* Starts the scores of a part: (sum of (q + 128) * k) - 128 * (sum of k). */
static int32_t me_ne16_start_scores(const me_ne16_attention_work *a, int32_t part)
{
    const int32_t width = a->op.width;
    me_ne16_job job;
    me_ne16_packed_job(a->k_planes, a->op.keys, width, ME_NE16_NORMALISE | ME_NE16_BIAS, &job);
    job.at.x = me_ne16_q_of(a, part);
    job.at.y = me_ne16_scores_of(a, part);
    job.at.scales = a->multipliers;
    job.at.biases = a->terms;
    me_ne16_set_run(&job, me_ne16_rows_of(a, part), width, a->row);
    return me_ne16_start(&job);
}

/* Starts the sums of values of a part: unsigned exponentials times v. */
static int32_t me_ne16_start_values(const me_ne16_attention_work *a, int32_t part)
{
    me_ne16_job job;
    me_ne16_packed_job(a->v_planes, a->op.out_width, a->filled, 0, &job);
    job.at.x = (const uint8_t *)me_ne16_scores_of(a, part);
    job.at.y = me_ne16_scores_of(a, part) + 4 * a->filled;
    me_ne16_set_run(&job, me_ne16_rows_of(a, part), a->row, a->row);
    if (ME_EXP12) { /* one job for the lower bytes, one for the upper bytes */
        (void)me_ne16_start(&job);
        job.at.x += a->row - a->filled;
        job.at.y += 4 * a->op.out_width;
    }
    return me_ne16_start(&job);
}

/* Called by core 0: starts the sums of values of a part, then the scores of part + 2. Waits for the scores
 * of part + 1, after which two jobs of values are still queued. Parts alternate between two buffers; the
 * engine runs jobs in order. */
static void me_ne16_start_jobs(const me_ne16_attention_work *a, int32_t part)
{
    const int32_t before = *a->running, values = me_ne16_rows_of(a, part) > 0;
    if (values)
        *a->running = me_ne16_start_values(a, part);
    if (!(values && ME_EXP12))
        me_ne16_wait(before);
    if (me_ne16_rows_of(a, part + 2) > 0)
        *a->running = me_ne16_start_scores(a, part + 2);
}

/* The rows of a part as a tile for me_exponentials. */
static me_attention_s8_tile me_ne16_tile_of(const me_ne16_attention_work *a, int32_t part)
{
    const int32_t n = a->op.keys * me_ne16_first_row(a, part, 2);
    return (me_attention_s8_tile){
        .rows = me_ne16_rows_of(a, part),
        .scratch = me_ne16_scores_of(a, part),
        .bias = a->tile->bias ? a->tile->bias + n : 0,
        .mask = a->tile->mask ? a->tile->mask + n : 0,
    };
}

static void me_ne16_write_result(const me_ne16_attention_work *a, int32_t part, int32_t row,
                                 me_row_divisor by)
{
    const me_attention_s8_params *op = &a->op;
    int32_t *sums = (int32_t *)(void *)(me_ne16_scores_of(a, part) + row * a->row) + a->filled;
    int8_t *y = a->tile->y + (me_ne16_first_row(a, part, 4) + row) * op->out_width;
    if (ME_EXP12)
        me_row_joined(sums, sums + op->out_width, op->out_width, 1 << by.down >> 1);
    me_row_scaled(sums, y, op->out_width / 4, by.down, by.factor, op->offset, op->out_shift);
}

/* Writes the results of part - 2, then the exponentials of `part` into the same buffer. One core does both
 * for a row, because they also share the divisor's buffer. */
static void me_ne16_finish(const me_ne16_attention_work *a, int32_t part)
{
    const me_attention_s8_tile tile = me_ne16_tile_of(a, part);
    me_row_divisor *divisors = a->divisors + (part & 1) * a->tile->part_rows;
    const me_attention_work work = { &a->op, &tile, divisors, a->row, a->filled, ME_NE16_CORES };
    const int32_t results = me_ne16_rows_of(a, part - 2), rows = me_max(results, tile.rows);
    for (int32_t first = ME_FIRST_PART(ME_NE16_CORES); first < ME_END_PART(ME_NE16_CORES); first++)
        for (int32_t row = first; row < rows; row += ME_NE16_CORES) {
            if (row < results)
                me_ne16_write_result(a, part - 2, row, divisors[row]);
            if (row < tile.rows)
                me_exponentials(&work, row);
        }
}

static void me_ne16_take_rows(const me_ne16_attention_work *a, int32_t part)
{
    const int32_t width = a->op.width, words = me_ne16_rows_of(a, part) * width / 4;
    const int32_t at = 4 * ME_FIRST_OF(ME_NE16_CORES, words), end = 4 * ME_LAST_OF(ME_NE16_CORES, words);
    const int8_t *q = a->tile->q + me_ne16_first_row(a, part, 0) * width;
    if (end > at)
        me_unsigned_words(q + at, me_ne16_q_of(a, part) + at, (end - at) / 4);
}

static inline void me_ne16_attention_all(const me_ne16_attention_resident_s8_params *op,
                                         const me_ne16_attention_resident_s8_tile *tile)
{
    const me_ne16_attention_work a = me_ne16_work_of(op, tile);
    const int32_t last_packing = a.packings - 1;
    if (tile->first == 0)
        me_ne16_begin_head(&a, op->exp);
    if (tile->first <= last_packing) {
        const int32_t key = ME_NE16_KEYS * tile->first, end = ME_NE16_KEYS * tile->end;
        me_ne16_pack_keys(&a, key, me_min(end, op->keys) - key);
        me_ne16_pack_values(&a, key, me_min(end, a.filled) - key);
    }
    for (int32_t step = me_max(tile->first, last_packing); step < tile->end; step++) {
        const int32_t part = step - last_packing; /* of q */
        if (ME_CORE() == 0)
            me_ne16_start_jobs(&a, part - 3);
        ME_SYNC_OF(ME_NE16_CORES);
        me_ne16_finish(&a, part - 2);
        me_ne16_take_rows(&a, part);
        ME_SYNC_OF(ME_NE16_CORES);
    }
}

#endif
