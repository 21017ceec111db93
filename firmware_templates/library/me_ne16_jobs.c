/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_jobs.h"

#include "me_broadcast.h"
#include "me_math.h"
#include "me_table.h"
#include "me_unsigned.h"

/* Results after each other of which a job of `step` phases has one. */
static int32_t count_of(int32_t n, int32_t step) { return step > 1 ? (n + step - 1) / step : n; }

int8_t *me_ne16_results(const me_ne16_layer *layer, int32_t first)
{
    const me_ne16_jobs_params *op = layer->op;
    if (op->form & ME_NE16_INT32) {
        const int32_t job = (first + layer->at_a_time - 1) / layer->at_a_time;
        return layer->y + (job & 1) * layer->at_a_time * layer->unit_bytes;
    }
    return layer->nine ? layer->nine : layer->y + first * layer->unit_bytes;
}

/* Sets up a 1x1 job of results in a row. Three runs of 3 pixels hold nine. Eight pixels would need two 3x3 tiles, so
 * the engine computes a ninth pixel and stores all nine in layer->nine. */
static void job_of_run(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_jobs_params *op = layer->op;
    if (op->form & ME_NE16_INT32)
        me_ne16_sums_job_of(&layer->outputs, ME_NE16_1X1, job);
    else
        me_ne16_job_of(&layer->outputs, ME_NE16_1X1, job);
    job->x = layer->scratch + first * op->step;
    job->y = me_ne16_results(layer, first);
    if (layer->nine)
        me_ne16_set_run(job, 9, op->step, layer->outputs.k);
    else
        me_ne16_set_run(job, end - first, op->step, layer->unit_bytes);
}

/* Sets up the job for those results of units [first, end) that belong to this row and column phase. In a run
 * it may write one or two results too many, which a later job overwrites. */
static void job_of_phase(const me_ne16_layer *layer, int32_t first, int32_t end, int32_t row, int32_t column,
                         me_ne16_job *job)
{
    const me_ne16_jobs_params *op = layer->op;
    const me_ne16_jobs_tile *tile = layer->tile;
    const int in_run = (op->form & ME_NE16_RUN) != 0, phased = (op->form & ME_NE16_PHASES) != 0;
    const int32_t down = phased ? op->phases_h : 1, across = phased ? op->phases_w : 1;
    const int32_t pixel = op->step, y_pixel = tile->conv.y_stride, n = end - first;
    const int32_t x_row =
        in_run ? pixel : me_ne16_padded_columns(&op->conv, &tile->conv) * op->conv.c * op->conv.stride_h;
    me_ne16_job_of(&layer->outputs, op->form & ME_NE16_MODE, job);
    job->x = layer->scratch + (first + row) * x_row + column * pixel;
    job->y = layer->y + (first + row) * layer->unit_bytes + column * y_pixel;
    job->x_pixel = (uint32_t)(across * pixel);
    job->y_pixel = (uint32_t)(across * y_pixel);
    job->x_row = in_run ? 3 * job->x_pixel : (uint32_t)(down * x_row);
    job->y_row = in_run ? 3 * job->y_pixel : (uint32_t)(down * layer->unit_bytes);
    const int32_t columns = count_of((in_run ? n : tile->conv.ow) - column, across);
    if (in_run)
        me_ne16_set_image(job, (columns + 2) / 3, me_min(columns, 3), 2);
    else
        me_ne16_set_image(job, count_of(n - row, down), columns, op->form & ME_NE16_1X1 ? 0 : 2);
}

static void job_of_image(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    job_of_phase(layer, first, end, 0, 0, job);
}

/* Starts the jobs of the other phases. If there is only one result, its job runs twice. */
static int32_t start_others(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_jobs_params *op = layer->op;
    const me_ne16_jobs_tile *tile = layer->tile;
    const int in_run = (op->form & ME_NE16_RUN) != 0;
    const int32_t n = end - first;
    const int32_t rows = in_run ? 1 : me_min(op->phases_h, n);
    const int32_t columns = me_min(op->phases_w, in_run ? n : tile->conv.ow);
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

static void copy_eight(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const int32_t k = layer->outputs.k, from = first + ME_FIRST(end - first),
                  n = first + ME_LAST(end - first) - from;
    const int8_t *results = layer->nine + from * k;
    int8_t *y = layer->y + from * layer->unit_bytes;
    if (n > 0 && layer->table)
        me_table_row(layer->table, results, y, n * k);
    else if (n > 0)
        me_xor_pieces(results, y, n, k, k, layer->unit_bytes, 0);
}

/* Rows of a turned convolution are interleaved in rows of y. */
static void look_up_columns(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_conv_s8_tile *conv = &((const me_ne16_jobs_tile *)layer->tile)->conv;
    const int32_t n = (end - first) * layer->unit_bytes;
    for (int32_t i = ME_FIRST(conv->ow); i < ME_LAST(conv->ow); i++) {
        int8_t *y = layer->y + i * conv->y_stride + first * layer->unit_bytes;
        me_table_row(layer->table, y, y, n);
    }
}

void me_ne16_finish_bytes(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_jobs_params *op = layer->op;
    if (layer->nine) {
        copy_eight(layer, first, end);
    } else if (op->form & ME_NE16_TURNED) {
        look_up_columns(layer, first, end);
    } else if (layer->table) {
        int8_t *y = layer->y + first * layer->unit_bytes;
        const me_part part = me_part_of((end - first) * layer->unit_bytes);
        me_table_row(layer->table, y + part.first, y + part.first, part.last - part.first);
    }
}

static void restore_x(const me_ne16_layer *layer)
{
    me_ne16_unsigned_rows(layer->x, (uint8_t *)layer->x, layer->outputs.inputs, 0, layer->units);
}

void me_ne16_jobs_layer(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, me_ne16_layer *layer)
{
    const me_conv_s8_tile *conv = &tile->conv;
    const uint32_t form = op->form;
    const int in_run = (form & ME_NE16_RUN) != 0, is_1x1 = (form & ME_NE16_1X1) != 0;
    const int8_t *table = op->conv.scale.table;
    int8_t *behind = conv->padded + me_gemm_row_bytes(tile->units * op->step);
    *layer = (me_ne16_layer){
        .units = tile->units, .first_units = tile->first_units, .at_a_time = tile->units_at_a_time,
        .unit_bytes = form & ME_NE16_TURNED ? tile->y_row : (in_run ? 1 : conv->ow) * conv->y_stride,
        .in_run = in_run && is_1x1, .x = conv->x, .scratch = (uint8_t *)conv->padded, .y = conv->y,
        .nine = tile->ninth ? behind + 9 * tile->first_k : 0, .table = table,
        .prepare = tile->has_scratch ? 0 : op->prepare, .job = in_run && is_1x1 ? job_of_run : job_of_image,
        .start_others = form & ME_NE16_PHASES ? start_others : 0,
        .finish = op->finish ? op->finish : table || tile->ninth ? me_ne16_finish_bytes : 0,
        .beside = op->beside, .behind = tile->restores ? restore_x : 0,
        .op = op, .tile = tile, .next = &tile->next,
        .outputs = {
            .weights = (const uint8_t *)conv->weights, .parameters = op->parameters, .scale_bytes = op->scale_bytes,
            .all_k = op->k, .first_k = tile->first_k, .k = conv->k, .inputs = op->inputs,
            .weight_bytes = is_1x1 ? 2 : 18, .weight_bits = op->weight_bits,
        },
    };
}
