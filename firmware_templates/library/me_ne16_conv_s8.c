/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_conv_s8.h"

#include "me_conv_s8_padding.h"
#include "me_ne16_layer.h"
#include "me_share.h"
#include "me_unsigned.h"

static const uint8_t *scratch_of(const me_ne16_conv_s8_tile *tile)
{
    return (const uint8_t *)tile->conv.padded;
}

static int32_t taps_of(const me_conv_s8_params *conv)
{
    return conv->k_h * conv->k_w * conv->c;
}

static int32_t columns_of(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile)
{
    return me_conv_span(tile->conv.ow, op->conv.k_w, op->conv.stride_w, op->conv.dilation_w);
}

/* Windows of this core's share of the results, one behind the other. */
static void copy_windows(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile, int32_t n)
{
    const me_gemm_windows windows = { .op = &op->conv, .tile = &tile->conv, .columns = tile->conv.ow };
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const me_pixel at = me_pixel_of(&windows, i);
        me_copy_padded_window(&windows, at.row, at.column, tile->conv.padded + i * taps_of(&op->conv));
    }
    ME_SYNC();
}

/* Scratch of the whole tile, unsigned. */
static void prepare(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile)
{
    const int32_t n = tile->conv.oh * tile->conv.ow, columns = columns_of(op, tile);
    const int32_t rows = me_conv_span(tile->conv.oh, op->conv.k_h, op->conv.stride_h, op->conv.dilation_h);
    const int32_t bytes = op->way == ME_NE16_WINDOWS ? n * taps_of(&op->conv) : rows * columns * op->conv.c;
    if (op->way == ME_NE16_WINDOWS)
        copy_windows(op, tile, n);
    else
        me_copy_padded_rows(&op->conv, &tile->conv, rows, columns);
    const int32_t words = (bytes + 3) / 4, first = ME_FIRST(words);
    int8_t *from = tile->conv.padded + 4 * first;
    me_unsigned_words(from, (uint8_t *)from, ME_LAST(words) - first);
}

static int32_t start_windows(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_s8_params *op = layer->op;
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const int32_t step = op->way == ME_NE16_WINDOWS ? taps_of(&op->conv) : op->conv.stride_w * op->conv.c;
    me_ne16_job job = me_ne16_job_of(&layer->outputs, ME_NE16_1X1);
    job.x = scratch_of(tile) + first * step;
    job.y = tile->conv.y + first * tile->conv.y_stride;
    me_ne16_set_run(&job, end - first, step, tile->conv.y_stride);
    return me_ne16_start(&job);
}

static int32_t start_rows(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_s8_params *op = layer->op;
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const int32_t row = columns_of(op, tile) * op->conv.c * op->conv.stride_h;
    const int32_t y_row = tile->conv.ow * tile->conv.y_stride;
    me_ne16_job job = me_ne16_job_of(&layer->outputs, op->way == ME_NE16_FILTER ? 0 : ME_NE16_1X1);
    job.x = scratch_of(tile) + first * row;
    job.y = tile->conv.y + first * y_row;
    job.x_pixel = (uint32_t)(op->conv.stride_w * op->conv.c);
    job.x_row = (uint32_t)row;
    job.y_pixel = (uint32_t)tile->conv.y_stride;
    job.y_row = (uint32_t)y_row;
    me_ne16_set_image(&job, end - first, tile->conv.ow, op->way == ME_NE16_FILTER ? 2 : 0);
    return me_ne16_start(&job);
}

void me_ne16_conv_s8(const me_ne16_conv_s8_params *op, const me_ne16_conv_s8_tile *tile)
{
    const me_conv_s8_tile *conv = &tile->conv;
    const int in_run = op->way == ME_NE16_WINDOWS || (op->way == ME_NE16_PIXELS && conv->oh == 1);
    const me_ne16_layer layer = {
        .units = in_run ? conv->oh * conv->ow : conv->oh, .at_a_time = tile->units_at_a_time,
        .unit_bytes = (in_run ? 1 : conv->ow) * conv->y_stride, .y = conv->y, .table = op->conv.scale.table,
        .prepare = 0, .start = in_run ? start_windows : start_rows,
        .finish = op->conv.scale.table ? me_ne16_look_up : 0, .op = op, .tile = tile,
        .outputs = {
            .weights = (const uint8_t *)conv->weights, .parameters = op->parameters,
            .scale_bytes = op->scale_bytes, .all_k = op->k, .first_k = tile->first_k, .k = conv->k,
            .inputs = op->way == ME_NE16_FILTER ? op->conv.c : taps_of(&op->conv),
            .weight_bytes = op->way == ME_NE16_FILTER ? 144 : 16,
        },
    };
    if (!tile->has_scratch)
        prepare(op, tile);
    me_ne16_run(&layer);
}
