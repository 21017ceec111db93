/* SPDX-License-Identifier: Apache-2.0
 * Attention on NE16 with bit planes that stay in L1, the body of two kernels. ME_EXP12, which who includes it
 * defines: 1 for exponentials of 12 bits, 0 for bytes.
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

enum { CORES = 9, KEYS = 16 }; /* KEYS: that a step packs */
enum { TABLE = 512, TABLE_STEP = TABLE + 4 }; /* bytes; from one core's to the next one's */

typedef struct {
    me_attention_s8_params op; /* with the core's own table */
    const me_ne16_attention_resident_s8_tile *tile;
    int32_t filled, row, packings;
    me_row_divisor *divisors;
    uint8_t *q, *multipliers, *tables, *k_planes, *v_planes;
    int32_t *terms, *running;
} attention;

static int32_t groups_of(int32_t n) { return (n + 15) / 16 * 16; }

/* A table for each core, in other banks of L1: accesses to one bank wait for each other, the engine's too. */
static uint8_t *table_of(const attention *a) { return a->tables + ME_CORE() * TABLE_STEP; }

static attention attention_of(const me_attention_s8_params *op,
                              const me_ne16_attention_resident_s8_tile *tile)
{
    const int32_t filled = (op->keys + 3) / 4 * 4, rows = 2 * tile->part_rows;
    attention a;
    a.tile = tile;
    a.filled = filled;
    a.row = ME_EXP12 ? 5 * filled + 8 * op->out_width : 4 * (filled + op->out_width);
    a.packings = (op->keys + KEYS - 1) / KEYS;
    a.divisors = (me_row_divisor *)(void *)(tile->scratch + rows * a.row);
    a.q = (uint8_t *)(a.divisors + rows);
    a.terms = (int32_t *)(void *)(a.q + rows * op->width);
    a.multipliers = (uint8_t *)(a.terms + filled);
    a.running = (int32_t *)(void *)(a.multipliers + filled);
    a.tables = (uint8_t *)(a.running + 1);
    a.k_planes = ME_EXP12 ? a.tables : a.tables + CORES * TABLE_STEP;
    a.v_planes = a.k_planes + op->keys * groups_of(op->width);
    me_copy_words((const int8_t *)op, (int8_t *)&a.op, sizeof a.op / 4);
    if (!ME_EXP12)
        a.op.exp = table_of(&a);
    return a;
}

/* ---- keys and values as weights */

static void pack_keys(const attention *a, int32_t first, int32_t n)
{
    const int32_t width = a->op.width;
    for (int32_t i = ME_FIRST_OF(CORES, n); i < ME_LAST_OF(CORES, n); i++) {
        uint8_t *planes = a->k_planes + (first + i) * groups_of(width);
        a->terms[first + i] = -128 * me_bit_planes_row(a->tile->k + i * width, width, planes);
        a->multipliers[first + i] = 1;
    }
}

/* By cores 0 .. 7: core 8 comes late to each tile. */
static void pack_values(const attention *a, int32_t first, int32_t n)
{
    const int32_t columns = ME_IS_CONTROL_CORE() ? 0 : a->op.out_width;
    for (int32_t i = ME_FIRST(columns); i < ME_LAST(columns); i++)
        me_bit_planes_row(a->tile->v + i * n, n, a->v_planes + i * groups_of(a->filled) + first);
}

static void begin_head(const attention *a, const uint8_t *exp)
{
    if (!ME_EXP12) /* tables of 12 bits are too large for copies */
        me_copy_words((const int8_t *)exp, (int8_t *)table_of(a), TABLE / 4);
    if (ME_CORE() == 0)
        *a->running = 0;
}

/* ---- parts of the rows, by their numbers; there is none below 0 or behind the last */

static int32_t rows_of(const attention *a, int32_t part)
{
    const int32_t n = a->tile->part_rows;
    return part < 0 ? 0 : me_max(me_min(n, a->tile->rows - part * n), 0);
}

/* Of the parts that an operand has in the tile, which `later` steps behind that of q read or write. */
static int32_t first_row(const attention *a, int32_t part, int32_t later)
{
    return (part - me_max(a->tile->first - a->packings + 1 - later, 0)) * a->tile->part_rows;
}

static int8_t *scores_of(const attention *a, int32_t part)
{
    return a->tile->scratch + (part & 1) * a->tile->part_rows * a->row;
}

static uint8_t *q_of(const attention *a, int32_t part)
{
    return a->q + (part & 1) * a->tile->part_rows * a->op.width;
}

/* (sum of (q + 128) * k) - 128 * (sum of k) */
static int32_t start_scores(const attention *a, int32_t part)
{
    const int32_t width = a->op.width;
    const me_ne16_outputs keys = {
        .weights = a->k_planes,
        .k = a->op.keys,
        .inputs = width,
        .weight_bytes = 2,
        .weight_bits = 8,
    };
    me_ne16_job job = me_ne16_sums_job_of(&keys, ME_NE16_1X1 | ME_NE16_NORMALISE | ME_NE16_BIAS);
    job.x = q_of(a, part);
    job.y = scores_of(a, part);
    job.scales = a->multipliers;
    job.biases = a->terms;
    me_ne16_set_run(&job, rows_of(a, part), width, a->row);
    return me_ne16_start(&job);
}

/* Sums of exponentials, which are unsigned, and v. */
static int32_t start_values(const attention *a, int32_t part)
{
    const me_ne16_outputs columns = {
        .weights = a->v_planes,
        .k = a->op.out_width,
        .inputs = a->filled,
        .weight_bytes = 2,
        .weight_bits = 8,
    };
    me_ne16_job job = me_ne16_sums_job_of(&columns, ME_NE16_1X1);
    job.x = (const uint8_t *)scores_of(a, part);
    job.y = scores_of(a, part) + 4 * a->filled;
    me_ne16_set_run(&job, rows_of(a, part), a->row, a->row);
    if (ME_EXP12) { /* sums of lower bytes, then those of upper ones */
        (void)me_ne16_start(&job);
        job.x += a->row - a->filled;
        job.y += 4 * a->op.out_width;
    }
    return me_ne16_start(&job);
}

/* By core 0: values of a part, then scores of the part behind the next one, whose own scores have ended when
 * it returns: two jobs of values wait for that already. Parts have two places: the engine keeps to the order of jobs. */
static void start_jobs(const attention *a, int32_t part)
{
    const int32_t before = *a->running, values = rows_of(a, part) > 0;
    if (values)
        *a->running = start_values(a, part);
    if (!(values && ME_EXP12))
        me_ne16_wait(before);
    if (rows_of(a, part + 2) > 0)
        *a->running = start_scores(a, part + 2);
}

/* Rows of a part, as me_exponentials knows them. */
static me_attention_s8_tile tile_of(const attention *a, int32_t part)
{
    const int32_t n = a->op.keys * first_row(a, part, 2);
    return (me_attention_s8_tile){
        .rows = rows_of(a, part),
        .scratch = scores_of(a, part),
        .bias = a->tile->bias ? a->tile->bias + n : 0,
        .mask = a->tile->mask ? a->tile->mask + n : 0,
    };
}

static void write_result(const attention *a, int32_t part, int32_t row, me_row_divisor by)
{
    const me_attention_s8_params *op = &a->op;
    int32_t *sums = (int32_t *)(void *)(scores_of(a, part) + row * a->row) + a->filled;
    int8_t *y = a->tile->y + (first_row(a, part, 4) + row) * op->out_width;
    if (ME_EXP12)
        me_row_joined(sums, sums + op->out_width, op->out_width, 1 << by.down >> 1);
    me_row_scaled(sums, y, op->out_width / 4, by.down, by.factor, op->offset, op->out_shift);
}

/* Results of part - 2, and exponentials of a part in the same place: of a row by one core, as its divisor
 * has one place too. */
static void finish(const attention *a, int32_t part)
{
    const me_attention_s8_tile tile = tile_of(a, part);
    me_row_divisor *divisors = a->divisors + (part & 1) * a->tile->part_rows;
    const me_attention_work work = { &a->op, &tile, divisors, a->row, a->filled, CORES };
    const int32_t results = rows_of(a, part - 2), rows = me_max(results, tile.rows);
    for (int32_t first = ME_FIRST_PART(CORES); first < ME_END_PART(CORES); first++)
        for (int32_t row = first; row < rows; row += CORES) {
            if (row < results)
                write_result(a, part - 2, row, divisors[row]);
            if (row < tile.rows)
                me_exponentials(&work, row);
        }
}

static void take_rows(const attention *a, int32_t part)
{
    const int32_t width = a->op.width, words = rows_of(a, part) * width / 4;
    const int32_t at = 4 * ME_FIRST_OF(CORES, words), end = 4 * ME_LAST_OF(CORES, words);
    const int8_t *q = a->tile->q + first_row(a, part, 0) * width;
    if (end > at)
        me_unsigned_words(q + at, q_of(a, part) + at, (end - at) / 4);
}

static inline void all_of(const me_ne16_attention_resident_s8_params *op,
                          const me_ne16_attention_resident_s8_tile *tile)
{
    const attention a = attention_of(op, tile);
    const int32_t last_packing = a.packings - 1;
    if (tile->first == 0)
        begin_head(&a, op->exp);
    if (tile->first <= last_packing) {
        const int32_t key = KEYS * tile->first, end = KEYS * tile->end;
        pack_keys(&a, key, me_min(end, op->keys) - key);
        pack_values(&a, key, me_min(end, a.filled) - key);
    }
    for (int32_t step = me_max(tile->first, last_packing); step < tile->end; step++) {
        const int32_t part = step - last_packing; /* of q */
        if (ME_CORE() == 0)
            start_jobs(&a, part - 3);
        ME_SYNC_OF(CORES);
        finish(&a, part - 2);
        take_rows(&a, part);
        ME_SYNC_OF(CORES);
    }
}

#endif
