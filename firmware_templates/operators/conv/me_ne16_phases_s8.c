/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_phases_s8.h"

#include "me_math.h"

/* Number of results in [first, end) if they are `step` apart. */
static int32_t count_of(int32_t first, int32_t end, int32_t step) { return (end - first + step - 1) / step; }

/* Sets up the job for those results of units [first, end) that belong to this row and column phase. If the
 * layer has one row, the job may write one or two results too many; a later job overwrites them. */
static void job_of_phase(const me_ne16_layer *layer, int32_t first, int32_t end, int32_t row, int32_t column,
                         me_ne16_job *job)
{
    const me_ne16_phases_s8_params *op = layer->op;
    const me_ne16_phases_s8_tile *tile = layer->tile;
    const int32_t pixel = op->conv.conv.stride_w * op->conv.conv.c, y_pixel = tile->conv.y_stride;
    const int32_t in_row = op->conv.way == ME_NE16_PIXELS;
    const int32_t x_row = in_row ? pixel : me_ne16_columns_of(&op->conv, tile) * op->conv.conv.c;
    me_ne16_job_of(&layer->outputs, op->depthwise ? ME_NE16_DEPTHWISE : 0, job);
    job->x = (const uint8_t *)tile->conv.padded + (first + row) * x_row + column * pixel;
    job->y = tile->conv.y + (first + row) * layer->unit_bytes + column * y_pixel;
    job->x_pixel = (uint32_t)(op->phases_w * pixel);
    job->y_pixel = (uint32_t)(op->phases_w * y_pixel);
    job->x_row = in_row ? 3 * job->x_pixel : (uint32_t)(op->phases_h * x_row);
    job->y_row = in_row ? 3 * job->y_pixel : (uint32_t)(op->phases_h * layer->unit_bytes);
    const int32_t columns = count_of(column, in_row ? end - first : tile->conv.ow, op->phases_w);
    if (in_row)
        me_ne16_set_image(job, (columns + 2) / 3, me_min(columns, 3), 2);
    else
        me_ne16_set_image(job, count_of(row, end - first, op->phases_h), columns, 2);
}

static void job_of(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    job_of_phase(layer, first, end, 0, 0, job);
}

/* Starts the jobs of the other phases. If there is only one result, its job runs twice. */
static int32_t start_others(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_phases_s8_params *op = layer->op;
    const me_ne16_phases_s8_tile *tile = layer->tile;
    const int32_t in_row = op->conv.way == ME_NE16_PIXELS, n = end - first;
    const int32_t rows = in_row ? 1 : me_min(op->phases_h, n);
    const int32_t columns = me_min(op->phases_w, in_row ? n : tile->conv.ow);
    int32_t number = 0, row = 0, column = 1;
    do {
        if (column >= columns) {
            column = 0;
            row = row + 1 < rows ? row + 1 : 0;
        }
        me_ne16_job job;
        job_of_phase(layer, first, end, row, column++, &job);
        number = me_ne16_start(&job);
    } while (row + 1 < rows || column < columns);
    return number;
}

void me_ne16_phases_s8_layer(const me_ne16_phases_s8_params *op, const me_ne16_phases_s8_tile *tile,
                             me_ne16_layer *layer)
{
    me_ne16_conv_s8_layer(&op->conv, tile, layer);
    layer->op = op;
    layer->in_run = 0;
    layer->job = job_of;
    layer->start_others = op->phases_h * op->phases_w > 1 ? start_others : 0;
    layer->outputs.inputs = op->inputs;
    layer->outputs.weight_bytes = 18;
}
