/* SPDX-License-Identifier: Apache-2.0
 * Attention on NE16 with a part of the keys and values at a time, the body of two kernels. ME_EXP12, which who includes it
 * defines: 1 for exponentials of 12 bits, 0 for bytes.
 */
#ifndef ME_NE16_ATTENTION_S8_BODY_H
#define ME_NE16_ATTENTION_S8_BODY_H

#include "me_ne16_attention_s8.h"
#include "me_attention_softmax.h"
#include "me_bit_planes.h"
#include "me_ne16_layer.h"
#include "me_share.h"

enum { ROWS = 12, OUTPUTS = 32 }; /* scratch has a multiple of ROWS; outputs of a job */

typedef struct {
    me_attention_work work;
    uint8_t *multipliers, *q, *planes;
    int32_t *terms;
} attention;

static int32_t groups_of(int32_t n) { return (n + 15) / 16 * 16; }

static const me_attention_s8_tile *tile_of(const me_ne16_layer *layer)
{
    return ((const attention *)layer->op)->work.tile;
}

/* Rows up to a multiple of three, so that none comes twice where sums are added to earlier ones. */
static int32_t pixels_of(const me_ne16_layer *layer) { return (tile_of(layer)->rows + 2) / 3 * 3; }

/* ---- scores: (sum of (q + 128) * k) - 128 * (sum of k) */

static void pack_keys(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const attention *a = layer->op;
    const int32_t width = a->work.op->width, n = end - first;
    for (int32_t key = first + ME_FIRST(n); key < first + ME_LAST(n); key++) {
        uint8_t *planes = a->planes + key * groups_of(width);
        a->terms[key] = -128 * me_bit_planes_row(tile_of(layer)->k + key * width, width, planes);
    }
}

static int32_t start_scores(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const attention *a = layer->op;
    const int32_t width = a->work.op->width;
    const me_ne16_outputs keys = {
        .weights = a->planes + first * groups_of(width),
        .k = end - first,
        .inputs = width,
        .weight_bytes = 2,
        .weight_bits = 8,
    };
    me_ne16_job job = me_ne16_sums_job_of(&keys, ME_NE16_1X1 | ME_NE16_NORMALISE | ME_NE16_BIAS);
    job.x = a->q;
    job.y = me_scores_row(&a->work, 0) + 4 * (tile_of(layer)->first_key + first);
    job.scales = a->multipliers;
    job.biases = a->terms + first;
    me_ne16_set_run(&job, pixels_of(layer), width, a->work.row);
    return me_ne16_program(&job);
}

static void scores(const attention *a)
{
    const me_attention_s8_tile *tile = a->work.tile;
    const me_ne16_layer layer = {
        .units = tile->keys,
        .first_units = OUTPUTS,
        .at_a_time = OUTPUTS,
        .prepare = pack_keys,
        .program = start_scores,
        .op = a,
    };
    for (int32_t i = ME_FIRST(OUTPUTS); i < ME_LAST(OUTPUTS); i++)
        a->multipliers[i] = 1;
    if (tile->first_key == 0)
        me_ne16_unsigned_rows(tile->q, a->q, a->work.op->width, 0, tile->rows);
    me_ne16_run(&layer);
}

/* ---- values: sums of exponentials, which are unsigned, and v; of their upper bytes behind those of all lower ones */

/* Units are columns, those of upper bytes from upper_units on. */
static int32_t upper_units(const attention *a)
{
    return ME_EXP12 ? (a->work.op->out_width + OUTPUTS - 1) / OUTPUTS * OUTPUTS : 0;
}

static int is_upper(const attention *a, int32_t first) { return ME_EXP12 && first >= upper_units(a); }

static me_key_span columns_of(const attention *a, int32_t first, int32_t end)
{
    const int32_t before = is_upper(a, first) ? upper_units(a) : 0;
    return (me_key_span){ first - before, me_min(end - before, a->work.op->out_width) };
}

static void pack_values(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const attention *a = layer->op;
    const me_key_span columns = columns_of(a, first, end);
    const int32_t values = tile_of(layer)->values, n = is_upper(a, first) ? 0 : columns.end - columns.first;
    for (int32_t k = first + ME_FIRST(n); k < first + ME_LAST(n); k++)
        me_bit_planes_row(tile_of(layer)->v + k * values, values, a->planes + k * groups_of(values));
}

static int32_t start_values(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const attention *a = layer->op;
    const me_attention_s8_tile *tile = tile_of(layer);
    const me_key_span of = columns_of(a, first, end);
    const me_ne16_outputs columns = {
        .weights = a->planes + of.first * groups_of(tile->values),
        .k = of.end - of.first,
        .inputs = tile->values,
        .weight_bytes = 2,
        .weight_bits = 8,
    };
    const uint32_t add = tile->first_value > 0 ? ME_NE16_STREAM_IN : 0;
    const int32_t upper = is_upper(a, first);
    me_ne16_job job = me_ne16_sums_job_of(&columns, ME_NE16_1X1 | add);
    job.x = (upper ? me_upper_bytes(&a->work, 0) : (const uint8_t *)me_scores_row(&a->work, 0))
        + tile->first_value;
    job.y = me_scores_row(&a->work, 0) + a->work.filled + 4 * (of.first + upper * a->work.op->out_width);
    me_ne16_set_run(&job, pixels_of(layer), a->work.row, a->work.row);
    return me_ne16_program(&job);
}

static void scale(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const attention *a = layer->op;
    const me_key_span columns = columns_of(a, first, end);
    if (ME_EXP12 && !is_upper(a, first))
        return;
    for (int32_t row = ME_FIRST(tile_of(layer)->rows); row < ME_LAST(tile_of(layer)->rows); row++)
        me_scale_row(&a->work, row, columns.first / 4, columns.end / 4);
}

static void values(const attention *a)
{
    const me_attention_s8_tile *tile = a->work.tile;
    const int whole = tile->first_value + tile->values == a->work.filled;
    const me_ne16_layer layer = {
        .units = upper_units(a) + a->work.op->out_width,
        .first_units = OUTPUTS,
        .at_a_time = OUTPUTS,
        .prepare = pack_values,
        .program = start_values,
        .finish = whole ? scale : 0,
        .op = a,
    };
    me_ne16_run(&layer);
}

static attention attention_of(const me_attention_s8_params *op, const me_attention_s8_tile *tile)
{
    const int32_t filled = (op->keys + 3) / 4 * 4, rows = (tile->rows + ROWS - 1) / ROWS * ROWS;
    attention a = { .work = { op, tile, 0, me_attention_row_bytes(op->keys, op->out_width), filled, 8 } };
    a.work.divisors = (me_row_divisor *)(void *)(tile->scratch + rows * a.work.row);
    a.multipliers = (uint8_t *)(a.work.divisors + rows);
    a.q = a.multipliers + OUTPUTS;
    a.terms = (int32_t *)(void *)(a.q + tile->rows * op->width);
    a.planes = (uint8_t *)(a.terms + tile->keys);
    return a;
}

static inline void all_of(const me_ne16_attention_s8_params *op, const me_ne16_attention_s8_tile *tile)
{
    const attention a = attention_of(op, tile);
    if (tile->keys > 0)
        scores(&a);
    if (tile->keys > 0 && tile->first_key + tile->keys == op->keys) {
        ME_SYNC();
        for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++)
            me_exponentials(&a.work, row);
        ME_SYNC();
    }
    if (tile->values > 0)
        values(&a);
}

#endif
