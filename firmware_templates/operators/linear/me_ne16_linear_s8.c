/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_linear_s8.h"

#include "me_ne16_layer.h"
#include "me_share.h"

static int32_t program(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_linear_s8_params *op = layer->op;
    me_ne16_job job = me_ne16_job_of(&layer->outputs, ME_NE16_1X1);
    job.x = layer->scratch + first * op->c;
    me_ne16_set_results(&job, layer, first, end, op->c);
    return me_ne16_program(&job);
}

__attribute__((noinline)) me_ne16_layer me_ne16_linear_layer(const void *params, const void *arguments)
{
    const me_ne16_linear_s8_params *op = params;
    const me_ne16_linear_s8_tile *tile = arguments;
    int8_t *nine = tile->ninth ? (int8_t *)tile->scratch + (9 * op->c + 3) / 4 * 4 + 9 * tile->first_k : 0;
    return (me_ne16_layer){
        .units = tile->rows, .first_units = tile->rows_at_a_time, .at_a_time = tile->rows_at_a_time, .unit_bytes = tile->y_stride, .in_run = 1,
        .x = tile->x, .scratch = tile->in_place ? (uint8_t *)tile->x : tile->scratch, .y = tile->y, .nine = nine, .table = op->table,
        .prepare = tile->has_scratch ? 0 : me_ne16_prepare_rows, .program = program,
        .finish = nine ? me_ne16_finish_nine : op->table ? me_ne16_look_up : 0, .op = op, .tile = tile,
        .of = me_ne16_linear_layer, .next = &tile->next,
        .outputs = {
            .weights = tile->weights, .parameters = op->parameters, .scale_bytes = op->scale_bytes,
            .all_k = op->k, .first_k = tile->first_k, .k = tile->k, .inputs = op->c, .weight_bytes = 2, .weight_bits = op->weight_bits,
        },
    };
}

void me_ne16_restore_x(const me_ne16_linear_s8_params *op, const me_ne16_linear_s8_tile *tile)
{
    ME_SYNC();
    me_ne16_unsigned_rows(tile->x, (uint8_t *)tile->x, op->c, 0, tile->rows);
}

void me_ne16_linear_s8(const me_ne16_linear_s8_params *op, const me_ne16_linear_s8_tile *tile)
{
    const me_ne16_layer layer = me_ne16_linear_layer(op, tile);
    me_ne16_run(&layer);
    if (tile->restores)
        me_ne16_restore_x(op, tile);
}
