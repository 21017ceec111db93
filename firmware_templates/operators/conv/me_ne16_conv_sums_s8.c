/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_conv_sums_s8.h"

#include "me_math.h"
#include "me_ne16_operands.h"
#include "me_share.h"
#include "me_sums_s8.h"

static int32_t in_one_run(const me_conv_s8_params *conv) { return conv->dilation_w == 1 ? conv->k_w : 1; }

static int32_t parts_of_run(const me_ne16_conv_sums_s8_params *op)
{
    const int32_t part = 16 * op->part_groups;
    return (in_one_run(&op->conv) * op->conv.c + part - 1) / part;
}

static int32_t all_parts(const me_ne16_conv_sums_s8_params *op)
{
    return parts_of_run(op) * op->conv.k_h * (op->conv.k_w / in_one_run(&op->conv));
}

static int32_t columns_of(const me_conv_s8_params *conv, const me_conv_s8_tile *tile)
{
    return me_conv_span(tile->ow, conv->k_w, conv->stride_w, conv->dilation_w);
}

/* Results of a tile as the rows of an image: one row is cut into three, which overlap where they have to. */
typedef struct {
    int32_t rows, columns, apart;
} image;

static image image_of(const me_conv_s8_tile *tile)
{
    if (tile->oh > 1)
        return (image){ tile->oh, tile->ow, tile->ow };
    const int32_t third = (tile->ow + 2) / 3, run = third + ((tile->ow - third) & 1);
    return (image){ 3, run, (tile->ow - run) / 2 };
}

static void prepare(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_sums_s8_params *op = layer->op;
    const me_ne16_conv_sums_s8_tile *tile = layer->tile;
    const me_conv_s8_params *conv = &op->conv;
    const int32_t in_rows = tile->conv.oh > 1, columns = columns_of(conv, &tile->conv);
    if (first > 0 && !in_rows)
        return;
    const int32_t rows = in_rows ? end : 1;
    const me_ne16_area area = {
        first > 0 ? me_conv_span(first, conv->k_h, conv->stride_h, conv->dilation_h) : 0,
        me_conv_span(rows, conv->k_h, conv->stride_h, conv->dilation_h),
        0,
        columns,
        conv->c,
    };
    me_ne16_write_area(conv, &tile->conv, &area, columns * conv->c, (uint8_t *)tile->conv.padded);
}

/* Where the inputs of a part lie, from the first byte of a window. */
static int32_t offset_of(const me_ne16_conv_sums_s8_params *op, const me_conv_s8_tile *tile, int32_t part)
{
    const me_conv_s8_params *conv = &op->conv;
    const int32_t in_run = parts_of_run(op), across = conv->k_w / in_one_run(conv);
    const int32_t run = part / in_run, row = run / across, column = run - row * across;
    return (row * conv->dilation_h * columns_of(conv, tile) + column * conv->dilation_w) * conv->c
        + 16 * op->part_groups * (part - run * in_run);
}

/* The first part behind `part` that is of another run or not of the tile. */
static int32_t end_of_run(const me_ne16_layer *layer, int32_t part)
{
    const me_ne16_conv_sums_s8_tile *tile = layer->tile;
    const int32_t in_run = parts_of_run(layer->op);
    return me_min(part - part % in_run + in_run, tile->first_part + tile->parts);
}

/* Outputs k to before k + 32 of the parts of a run from `part` on. Weights of more outputs would have to lie one behind
 * the other, without those of other parts between them. */
static void job_of_parts(const me_ne16_layer *layer, int32_t first, int32_t last, int32_t part, int32_t k,
                         me_ne16_job *job)
{
    const me_ne16_conv_sums_s8_params *op = layer->op;
    const me_ne16_conv_sums_s8_tile *tile = layer->tile;
    const me_conv_s8_params *conv = &op->conv;
    const image results = image_of(&tile->conv);
    const int32_t in_rows = tile->conv.oh > 1, of_part = 16 * op->part_groups, bytes = 4 * tile->conv.k;
    const int32_t rest = in_one_run(conv) * conv->c - part % parts_of_run(op) * of_part;
    const int32_t plane_bytes = 2 * op->weight_bits * op->part_groups, all_bytes = tile->parts * plane_bytes;
    const int32_t x_pixel = conv->stride_w * conv->c;
    const int32_t x_row =
        in_rows ? conv->stride_h * columns_of(conv, &tile->conv) * conv->c : results.apart * x_pixel;
    me_ne16_outputs outputs = layer->outputs;
    outputs.inputs = me_min(rest, (end_of_run(layer, part) - part) * of_part);
    outputs.k = me_min(tile->conv.k - k, 32);
    outputs.weights += k * all_bytes + (part - tile->first_part) * plane_bytes;
    me_ne16_sums_job_of(&outputs, ME_NE16_1X1, job);
    job->weight_channel = (uint32_t)all_bytes;
    job->config |= part > 0 ? ME_NE16_STREAM_IN : 0;
    job->x = (const uint8_t *)tile->conv.padded + offset_of(op, &tile->conv, part)
        + first * (in_rows ? x_row : x_pixel);
    job->y = (int8_t *)(tile->sums + k) + first * bytes * (in_rows ? results.columns : 1);
    job->x_pixel = (uint32_t)x_pixel;
    job->x_row = (uint32_t)x_row;
    job->y_pixel = (uint32_t)bytes;
    job->y_row = (uint32_t)(results.columns * bytes);
    me_ne16_set_image(job, in_rows ? last - first : results.rows, in_rows ? results.columns : last - first,
                      0);
}

static void job_of(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_conv_sums_s8_tile *tile = layer->tile;
    job_of_parts(layer, first, end, tile->first_part, 0, job);
}

/* All jobs but the first: the other blocks of 32 outputs of the first run, then the other runs. */
static int32_t start_others(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_sums_s8_tile *tile = layer->tile;
    int32_t number = 0, k = 32;
    for (int32_t part = tile->first_part; part < tile->first_part + tile->parts;
         part = end_of_run(layer, part), k = 0)
        for (; k < tile->conv.k; k += 32) {
            me_ne16_job job;
            job_of_parts(layer, first, end, part, k, &job);
            number = me_ne16_start(&job);
        }
    return number;
}

/* Channels in turns: cores that are at neighbouring ones use different banks. */
static void finish(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_sums_s8_params *op = layer->op;
    const me_ne16_conv_sums_s8_tile *tile = layer->tile;
    const me_conv_s8_tile *conv = &tile->conv;
    const image results = image_of(conv);
    const int32_t in_rows = conv->oh > 1, pieces = in_rows ? 1 : results.rows;
    const int32_t from = in_rows ? first * conv->ow : first, n = (end - first) * (in_rows ? conv->ow : 1);
    const int32_t cores = ME_KERNEL_CORES(0), last = ME_END_PART(cores);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        for (int32_t k = part; k < conv->k; k += cores)
            for (int32_t piece = 0; piece < pieces; piece++)
                me_sums_s8(tile->sums + (piece * results.columns + from) * conv->k + k, n, conv->k,
                           conv->channels + k, &op->conv.scale,
                           conv->y + (piece * results.apart + from) * conv->y_stride + k, conv->y_stride);
}

void me_ne16_conv_sums_s8_layer(const me_ne16_conv_sums_s8_params *op, const me_ne16_conv_sums_s8_tile *tile,
                                me_ne16_layer *layer)
{
    const image results = image_of(&tile->conv);
    const int32_t in_run = parts_of_run(op), behind = tile->first_part + tile->parts;
    const int32_t has_others = tile->conv.k > 32 || tile->first_part % in_run + tile->parts > in_run;
    *layer = (me_ne16_layer){
        .units = tile->conv.oh > 1 ? results.rows : results.columns,
        .first_units = tile->first_units,
        .at_a_time = tile->units_at_a_time,
        .prepare = tile->has_scratch ? 0 : prepare,
        .job = job_of,
        .start_others = has_others ? start_others : 0,
        .finish = behind == all_parts(op) ? finish : 0,
        .op = op,
        .tile = tile,
        .next = &tile->next,
        .outputs = { .weights = (const uint8_t *)tile->conv.weights,
                     .k = tile->conv.k,
                     .weight_bytes = 2,
                     .weight_bits = op->weight_bits },
    };
}
