/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_conv_s8.h"

#include "me_broadcast.h"
#include "me_ne16_operands.h"
#include "me_share.h"
#include "me_table.h"
#include "me_unsigned.h"

static uint8_t *scratch_of(const me_ne16_conv_s8_tile *tile) { return (uint8_t *)tile->conv.padded; }

static int32_t taps_of(const me_conv_s8_params *conv) { return conv->k_h * conv->k_w * conv->c; }

int32_t me_ne16_columns_of(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile)
{
    return me_conv_span(tile->conv.ow, op->conv.k_w, op->conv.stride_w, op->conv.dilation_w);
}

/* Number of input rows or columns that the first n result rows or columns span. */
static int32_t span(int32_t n, int32_t kernel, int32_t stride, int32_t dilation)
{
    return n > 0 ? me_conv_span(n, kernel, stride, dilation) : 0;
}

/* Number of result rows that the first n results belong to. */
static int32_t rows_of(int32_t n, int32_t ow) { return (n + ow - 1) / ow; }

static uint8_t *behind_windows(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    return (uint8_t *)tile->padded + me_gemm_row_bytes(tile->oh * tile->ow * taps_of(op));
}

/* Number of rows of the padded input that the windows of results [0, end) span beyond those of results [0,
 * first). */
static uint8_t *prepare_image(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t first,
                              int32_t end, int32_t columns)
{
    uint8_t *image = behind_windows(op, tile);
    const int32_t k_h = op->k_h, stride = op->stride_h, dilation = op->dilation_h;
    const me_ne16_area area = {
        span(rows_of(first, tile->ow), k_h, stride, dilation),
        span(rows_of(end, tile->ow), k_h, stride, dilation),
        0,
        columns,
        op->c,
        0,
    };
    me_ne16_write_area(op, tile, &area, columns * op->c, image);
    ME_SYNC();
    return image;
}

static void prepare_windows(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_s8_params *op = layer->op;
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const me_conv_s8_tile *conv = &tile->conv;
    const int32_t columns = me_ne16_columns_of(op, tile);
    const int32_t rows = span(conv->oh, op->conv.k_h, op->conv.stride_h, op->conv.dilation_h);
    const int padded = conv->pad_top > 0 || conv->pad_left > 0 || rows > conv->h || columns > conv->w;
    me_ne16_image image = { conv->x, conv->row_stride, ME_TO_UNSIGNED };
    if (padded && !op->copies_padding) {
        me_ne16_write_padded_windows(&op->conv, conv, first, end, scratch_of(tile));
        return;
    }
    if (padded) {
        const uint8_t *copy = prepare_image(&op->conv, conv, first, end, columns);
        image = (me_ne16_image){ copy, columns * op->conv.c, 0 };
    }
    me_ne16_write_windows(&op->conv, &image, conv->ow, first, end, scratch_of(tile));
}

void me_ne16_prepare_image(const me_ne16_layer *layer, int32_t first, int32_t end, int32_t column_bytes)
{
    const me_ne16_conv_s8_params *op = layer->op;
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const int32_t columns = me_ne16_columns_of(op, tile), k_h = op->conv.k_h, stride = op->conv.stride_h;
    const int32_t dilation = op->conv.dilation_h;
    const me_ne16_area area = {
        span(first, k_h, stride, dilation), span(end, k_h, stride, dilation), 0, columns, column_bytes, 0,
    };
    me_ne16_write_area(&op->conv, &tile->conv, &area, columns * op->conv.c, scratch_of(tile));
}

static void prepare_rows(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_s8_params *op = layer->op;
    me_ne16_prepare_image(layer, first, end, op->conv.c);
}

static void prepare_columns(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_s8_params *op = layer->op;
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const int32_t k_w = op->conv.k_w, stride = op->conv.stride_w, dilation = op->conv.dilation_w;
    const me_ne16_area area = {
        0, 1, span(first, k_w, stride, dilation), span(end, k_w, stride, dilation), op->conv.c, 0,
    };
    me_ne16_write_area(&op->conv, &tile->conv, &area, 0, scratch_of(tile));
}

static void job_of_windows(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_conv_s8_params *op = layer->op;
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const int32_t step = op->way == ME_NE16_WINDOWS ? taps_of(&op->conv) : op->conv.stride_w * op->conv.c;
    me_ne16_job_of(&layer->outputs, ME_NE16_1X1, job);
    job->x = scratch_of(tile) + first * step;
    me_ne16_set_results(job, layer, first, end, step);
}

/* Parameters of a way: filter mode; weight bytes per output and 16 inputs (16 channels if depthwise);
 * reach of the filter beyond a pixel. */
typedef struct {
    uint32_t config;
    int32_t weight_bytes, reach;
} filter_mode;

static filter_mode mode_of(int32_t way)
{
    if (way == ME_NE16_FILTER)
        return (filter_mode){ 0, 18, 2 };
    if (way == ME_NE16_DEPTHWISE_FILTER)
        return (filter_mode){ ME_NE16_DEPTHWISE, 18, 2 };
    return (filter_mode){ ME_NE16_1X1, 2, 0 };
}

void me_ne16_job_of_image(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_conv_s8_params *op = layer->op;
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const int32_t row = me_ne16_columns_of(op, tile) * op->conv.c * op->conv.stride_h;
    const filter_mode registers = mode_of(op->way);
    me_ne16_job_of(&layer->outputs, registers.config, job);
    job->x = scratch_of(tile) + first * row;
    job->y = tile->conv.y + first * layer->unit_bytes;
    job->x_pixel = (uint32_t)(op->conv.stride_w * op->conv.c);
    job->x_row = (uint32_t)row;
    job->y_pixel = (uint32_t)tile->conv.y_stride;
    job->y_row = (uint32_t)layer->unit_bytes;
    me_ne16_set_image(job, end - first, tile->conv.ow, registers.reach);
}

static me_ne16_units *prepare_of(const me_ne16_conv_s8_params *op, int in_run)
{
    return op->way == ME_NE16_WINDOWS ? prepare_windows : in_run ? prepare_columns : prepare_rows;
}

void me_ne16_conv_s8_layer(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile,
                           me_ne16_layer *layer)
{
    const me_conv_s8_tile *conv = &tile->conv;
    const int in_run = op->way == ME_NE16_WINDOWS || (op->way == ME_NE16_PIXELS && conv->oh == 1);
    const filter_mode registers = mode_of(op->way);
    *layer = (me_ne16_layer){
        .units = in_run ? conv->oh * conv->ow : conv->oh, .first_units = tile->first_units,
        .at_a_time = tile->units_at_a_time,
        .unit_bytes = (in_run ? 1 : conv->ow) * conv->y_stride, .in_run = in_run, .y = conv->y,
        .nine = tile->ninth ? (int8_t *)behind_windows(&op->conv, conv) + 9 * tile->first_k : 0, .table = op->conv.scale.table, .prepare = tile->has_scratch ? 0 : prepare_of(op, in_run),
        .job = in_run ? job_of_windows : me_ne16_job_of_image,
        .finish = tile->ninth ? me_ne16_finish_nine : op->conv.scale.table ? me_ne16_look_up : 0, .op = op, .tile = tile,
        .next = &tile->next,
        .outputs = {
            .weights = (const uint8_t *)conv->weights, .parameters = op->parameters,
            .scale_bytes = op->scale_bytes, .all_k = op->k, .first_k = tile->first_k, .k = conv->k,
            .inputs = registers.reach ? op->conv.c : taps_of(&op->conv), .weight_bytes = registers.weight_bytes, .weight_bits = op->weight_bits,
        },
    };
}
