/* SPDX-License-Identifier: Apache-2.0
 * Attention on NE16 with a part of the keys and values at a time, the body of two kernels. The including file
 * defines ME_EXP12: 1 for 12-bit exponentials, 0 for 8-bit exponentials.
 */
#ifndef ME_NE16_ATTENTION_S8_BODY_H
#define ME_NE16_ATTENTION_S8_BODY_H

#include "me_ne16_attention_s8.h"
#include "me_attention_softmax.h"
#include "me_bit_planes.h"
#include "me_ne16_layer.h"
#include "me_share.h"

/* scratch has a multiple of ME_NE16_ROWS rows; a job has ME_NE16_OUTPUTS outputs. */
enum { ME_NE16_ROWS = 12, ME_NE16_OUTPUTS = 32 };

typedef struct {
    me_attention_work work;
    uint8_t *multipliers, *q, *planes;
    int32_t *terms;
} me_ne16_attention_work;

static const me_attention_s8_tile *me_ne16_tile_of(const me_ne16_layer *layer)
{
    return ((const me_ne16_attention_work *)layer->op)->work.tile;
}

/* Number of rows, rounded up to a multiple of 3: the runs of a job then do not overlap, so that no sum is
 * added twice. */
static int32_t me_ne16_pixels_of(const me_ne16_layer *layer)
{
    return (me_ne16_tile_of(layer)->rows + 2) / 3 * 3;
}

/* ---- scores: (sum of (q + 128) * k) - 128 * (sum of k) */

static void me_ne16_pack_keys(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_attention_work *a = layer->op;
    const int32_t width = a->work.op->width, n = end - first;
    for (int32_t key = first + ME_FIRST(n); key < first + ME_LAST(n); key++) {
        uint8_t *planes = a->planes + key * me_ne16_plane_bytes(width);
        a->terms[key] = -128 * me_bit_planes_row(me_ne16_tile_of(layer)->k + key * width, width, planes);
    }
}

static void me_ne16_job_of_scores(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_attention_work *a = layer->op;
    const int32_t width = a->work.op->width;
    me_ne16_packed_job(a->planes + first * me_ne16_plane_bytes(width), end - first, width,
                       ME_NE16_NORMALISE | ME_NE16_BIAS, job);
    job->at.x = a->q;
    job->at.y = me_scores_row(&a->work, 0) + 4 * (me_ne16_tile_of(layer)->first_key + first);
    job->at.scales = a->multipliers;
    job->at.biases = a->terms + first;
    me_ne16_set_run(job, me_ne16_pixels_of(layer), width, a->work.row);
}

static void me_ne16_scores(const me_ne16_attention_work *a)
{
    const me_attention_s8_tile *tile = a->work.tile;
    me_ne16_layer layer = {
        .units = tile->keys,
        .at_a_time = ME_NE16_OUTPUTS,
        .prepare = me_ne16_pack_keys,
        .job = me_ne16_job_of_scores,
        .op = a,
    };
    for (int32_t i = ME_FIRST(ME_NE16_OUTPUTS); i < ME_LAST(ME_NE16_OUTPUTS); i++)
        a->multipliers[i] = 1;
    if (tile->first_key == 0)
        me_ne16_unsigned_rows(tile->q, a->q, a->work.op->width, 0, tile->rows);
    me_ne16_run(&layer);
}

/* ---- values: sums of unsigned exponentials times v; first for all lower bytes, then for the upper bytes */

/* Index of the first unit of upper bytes; units are columns. */
static int32_t me_ne16_upper_units(const me_ne16_attention_work *a)
{
    return ME_EXP12 ? (a->work.op->out_width + ME_NE16_OUTPUTS - 1) / ME_NE16_OUTPUTS * ME_NE16_OUTPUTS : 0;
}

static int me_ne16_is_upper(const me_ne16_attention_work *a, int32_t first)
{
    return ME_EXP12 && first >= me_ne16_upper_units(a);
}

static me_key_span me_ne16_columns_of(const me_ne16_attention_work *a, int32_t first, int32_t end)
{
    const int32_t before = me_ne16_is_upper(a, first) ? me_ne16_upper_units(a) : 0;
    return (me_key_span){ first - before, me_min(end - before, a->work.op->out_width) };
}

static void me_ne16_pack_values(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_attention_work *a = layer->op;
    const me_key_span columns = me_ne16_columns_of(a, first, end);
    const int32_t values = me_ne16_tile_of(layer)->values,
                  n = me_ne16_is_upper(a, first) ? 0 : columns.end - columns.first;
    for (int32_t k = first + ME_FIRST(n); k < first + ME_LAST(n); k++)
        me_bit_planes_row(me_ne16_tile_of(layer)->v + k * values, values,
                          a->planes + k * me_ne16_plane_bytes(values));
}

static void me_ne16_job_of_values(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_attention_work *a = layer->op;
    const me_attention_s8_tile *tile = me_ne16_tile_of(layer);
    const me_key_span of = me_ne16_columns_of(a, first, end);
    const uint32_t add = tile->first_value > 0 ? ME_NE16_STREAM_IN : 0;
    const int32_t upper = me_ne16_is_upper(a, first);
    me_ne16_packed_job(a->planes + of.first * me_ne16_plane_bytes(tile->values), of.end - of.first,
                       tile->values, add, job);
    job->at.x = (upper ? me_upper_bytes(&a->work, 0) : (const uint8_t *)me_scores_row(&a->work, 0))
        + tile->first_value;
    job->at.y = me_scores_row(&a->work, 0) + a->work.filled + 4 * (of.first + upper * a->work.op->out_width);
    me_ne16_set_run(job, me_ne16_pixels_of(layer), a->work.row, a->work.row);
}

static void me_ne16_scale(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_attention_work *a = layer->op;
    const me_key_span columns = me_ne16_columns_of(a, first, end);
    if (ME_EXP12 && !me_ne16_is_upper(a, first))
        return;
    for (int32_t row = ME_FIRST(me_ne16_tile_of(layer)->rows); row < ME_LAST(me_ne16_tile_of(layer)->rows);
         row++)
        me_scale_row(&a->work, row, columns.first / 4, columns.end / 4);
}

static void me_ne16_values(const me_ne16_attention_work *a)
{
    const me_attention_s8_tile *tile = a->work.tile;
    const int whole = tile->first_value + tile->values == a->work.filled;
    me_ne16_layer layer = {
        .units = me_ne16_upper_units(a) + a->work.op->out_width,
        .at_a_time = ME_NE16_OUTPUTS,
        .prepare = me_ne16_pack_values,
        .job = me_ne16_job_of_values,
        .finish = whole ? me_ne16_scale : 0,
        .op = a,
    };
    me_ne16_run(&layer);
}

static me_ne16_attention_work me_ne16_work_of(const me_attention_s8_params *op,
                                              const me_attention_s8_tile *tile)
{
    const int32_t filled = (op->keys + 3) / 4 * 4,
                  rows = (tile->rows + ME_NE16_ROWS - 1) / ME_NE16_ROWS * ME_NE16_ROWS;
    me_ne16_attention_work a = { .work = { op, tile, 0, me_attention_row_bytes(op->keys, op->out_width),
                                           filled, 8 } };
    a.work.divisors = (me_row_divisor *)(void *)(tile->scratch + rows * a.work.row);
    a.multipliers = (uint8_t *)(a.work.divisors + rows);
    a.q = a.multipliers + ME_NE16_OUTPUTS;
    a.terms = (int32_t *)(void *)(a.q + tile->rows * op->width);
    a.planes = (uint8_t *)(a.terms + tile->keys);
    return a;
}

static inline void me_ne16_attention_all(const me_ne16_attention_s8_params *op,
                                         const me_ne16_attention_s8_tile *tile)
{
    const me_ne16_attention_work a = me_ne16_work_of(op, tile);
    if (tile->keys > 0)
        me_ne16_scores(&a);
    if (tile->keys > 0 && tile->first_key + tile->keys == op->keys) {
        ME_SYNC();
        for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++)
            me_exponentials(&a.work, row);
        ME_SYNC();
    }
    if (tile->values > 0)
        me_ne16_values(&a);
}

#endif
