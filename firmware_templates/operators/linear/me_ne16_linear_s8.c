/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_linear_s8.h"

#include "me_ne16_layer.h"
#include "me_share.h"

static void job_of(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_linear_s8_params *op = layer->op;
    me_ne16_job_of(&layer->outputs, ME_NE16_1X1, job);
    job->x = layer->scratch + first * op->c;
    me_ne16_set_results(job, layer, first, end, op->c);
}

static void restore_x(const me_ne16_layer *layer)
{
    const me_ne16_linear_s8_tile *tile = layer->tile;
    me_ne16_unsigned_rows(tile->x, (uint8_t *)tile->x, layer->outputs.inputs, 0, tile->rows);
}

void me_ne16_linear_s8_layer(const me_ne16_linear_s8_params *op, const me_ne16_linear_s8_tile *tile,
                             me_ne16_layer *layer)
{
    int8_t *nine = tile->ninth ? (int8_t *)tile->scratch + (9 * op->c + 3) / 4 * 4 + 9 * tile->first_k : 0;
    *layer = (me_ne16_layer){
        .units = tile->rows, .first_units = tile->rows_at_a_time, .at_a_time = tile->rows_at_a_time, .unit_bytes = tile->y_stride, .in_run = 1,
        .x = tile->x, .scratch = tile->in_place ? (uint8_t *)tile->x : tile->scratch, .y = tile->y, .nine = nine, .table = op->table,
        .prepare = tile->has_scratch ? 0 : me_ne16_prepare_rows, .job = job_of,
        .finish = nine ? me_ne16_finish_nine : op->table ? me_ne16_look_up : 0, .behind = tile->restores ? restore_x : 0, .op = op, .tile = tile,
        .next = &tile->next,
        .outputs = {
            .weights = tile->weights, .parameters = op->parameters, .scale_bytes = op->scale_bytes,
            .all_k = op->k, .first_k = tile->first_k, .k = tile->k, .inputs = op->c, .weight_bytes = 2, .weight_bits = op->weight_bits,
        },
    };
}
