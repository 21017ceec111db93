/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_linear_s8_s16.h"

#include "me_ne16_layer.h"
#include "me_share.h"
#include "me_sums_s16.h"

static uint8_t *unsigned_x(const me_ne16_linear_s8_s16_tile *tile)
{
    return tile->in_place ? (uint8_t *)tile->x : tile->scratch;
}

/* -> the sums of the job that starts at this row, or of the job before it: jobs alternate between two
 * buffers */
static int8_t *sums_of(const me_ne16_layer *layer, int32_t first)
{
    const me_ne16_linear_s8_s16_params *op = layer->op;
    const me_ne16_linear_s8_s16_tile *tile = layer->tile;
    const int32_t job = (first + layer->at_a_time - 1) / layer->at_a_time;
    const int32_t x_bytes = tile->in_place ? 0 : (tile->rows * op->c + 3) / 4 * 4;
    return (int8_t *)tile->scratch + x_bytes + (job & 1) * layer->at_a_time * 4 * tile->k;
}

static void job_of(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_linear_s8_s16_params *op = layer->op;
    const me_ne16_linear_s8_s16_tile *tile = layer->tile;
    me_ne16_sums_job_of(&layer->outputs, ME_NE16_1X1, job);
    job->x = unsigned_x(tile) + first * op->c;
    job->y = sums_of(layer, first);
    me_ne16_set_run(job, end - first, op->c, 4 * tile->k);
}

/* Channels are interleaved over cores: cores that process adjacent channels access different banks. */
static void finish(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_linear_s8_s16_params *op = layer->op;
    const me_ne16_linear_s8_s16_tile *tile = layer->tile;
    const int32_t *sums = (const int32_t *)(const void *)sums_of(layer, first);
    int16_t *y = tile->y + first * tile->k;
    const int32_t cores = ME_KERNEL_CORES(0), last = ME_END_PART(cores);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        for (int32_t k = part; k < tile->k; k += cores)
            me_sums_s16(sums + k, end - first, tile->k, tile->channels + k, op->pre, y + k);
}

static void restore_x(const me_ne16_layer *layer)
{
    const me_ne16_linear_s8_s16_tile *tile = layer->tile;
    me_ne16_unsigned_rows(tile->x, (uint8_t *)tile->x, layer->outputs.inputs, 0, tile->rows);
}

void me_ne16_linear_s8_s16_layer(const me_ne16_linear_s8_s16_params *op,
                                 const me_ne16_linear_s8_s16_tile *tile, me_ne16_layer *layer)
{
    *layer = (me_ne16_layer){
        .units = tile->rows,
        .first_units = tile->rows_at_a_time,
        .at_a_time = tile->rows_at_a_time,
        .in_run = 1,
        .x = tile->x,
        .scratch = unsigned_x(tile),
        .prepare = tile->has_scratch ? 0 : me_ne16_prepare_rows,
        .job = job_of,
        .finish = finish,
        .op = op,
        .tile = tile,
        .behind = tile->restores ? restore_x : 0,
        .next = &tile->next,
        .outputs = { .weights = tile->weights,
                     .k = tile->k,
                     .inputs = op->c,
                     .weight_bytes = 2,
                     .weight_bits = op->weight_bits },
    };
}
