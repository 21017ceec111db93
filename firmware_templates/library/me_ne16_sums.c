/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_sums.h"

#include "me_math.h"
#include "me_share.h"
#include "me_sums_s8.h"

/* The sums of a tile as rows of an image. A single row of results is divided into three rows, which start
 * `apart` results from each other and may overlap. */
typedef struct {
    int32_t rows, columns, apart;
} sums_image;

static int has_filter(const me_ne16_sums_params *op) { return !(op->form & ME_NE16_1X1); }

/* Number of kernel columns in a run. */
static int32_t in_one_run(const me_ne16_sums_params *op)
{
    return has_filter(op) || op->conv.dilation_w != 1 ? 1 : op->conv.k_w;
}

static int32_t groups_of_run(const me_ne16_sums_params *op)
{
    return (in_one_run(op) * op->conv.c + 15) / 16;
}

static int32_t parts_of_run(const me_ne16_sums_params *op)
{
    return (groups_of_run(op) + op->part_groups - 1) / op->part_groups;
}

static int32_t runs_of(const me_ne16_sums_params *op)
{
    return has_filter(op) ? 1 : op->conv.k_h * (op->conv.k_w / in_one_run(op));
}

static int32_t all_parts(const me_ne16_sums_params *op) { return parts_of_run(op) * runs_of(op); }

static int has_rows(const me_ne16_sums_params *op, const me_conv_s8_tile *tile)
{
    return has_filter(op) || tile->oh > 1;
}

static sums_image image_of_sums(const me_ne16_sums_params *op, const me_conv_s8_tile *tile)
{
    if (has_rows(op, tile))
        return (sums_image){ tile->oh, tile->ow, tile->ow };
    const int32_t third = (tile->ow + 2) / 3, run = third + ((tile->ow - third) & 1);
    return (sums_image){ 3, run, (tile->ow - run) / 2 };
}

/* Weight bytes per bit plane for 16 bytes of input. */
static int32_t weight_bytes(const me_ne16_sums_params *op) { return (has_filter(op) ? 18 : 2) >> op->x_wide; }

/* Maximum outputs per job, counted as `halves` per result. More than 32 require contiguous weights without
 * those of other parts in between. */
static int32_t outputs_at_once(const me_ne16_sums_params *op, const me_ne16_sums_tile *tile)
{
    const int32_t all = tile->parts * op->part_groups == groups_of_run(op) && runs_of(op) == 1;
    return all ? op->halves * tile->conv.k : 32;
}

static void prepare(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_sums_params *op = layer->op;
    const me_ne16_sums_tile *tile = layer->tile;
    const me_conv_s8_params *conv = &op->conv;
    const int in_rows = has_rows(op, &tile->conv), columns = me_ne16_padded_columns(conv, &tile->conv);
    if (first > 0 && !in_rows)
        return;
    const int32_t rows = in_rows ? end : 1;
    const me_ne16_area area = {
        first > 0 ? me_conv_span(first, conv->k_h, conv->stride_h, conv->dilation_h) : 0,
        me_conv_span(rows, conv->k_h, conv->stride_h, conv->dilation_h),
        0,
        columns,
        conv->c,
        op->x_wide,
    };
    me_ne16_write_area(conv, &tile->conv, &area, columns * conv->c, (uint8_t *)tile->conv.padded);
}

/* Byte offset of a part's inputs from the start of a window. */
static int32_t offset_of(const me_ne16_sums_params *op, const me_conv_s8_tile *tile, int32_t part)
{
    const me_conv_s8_params *conv = &op->conv;
    const int32_t in_run = parts_of_run(op), across = conv->k_w / in_one_run(op);
    const int32_t run = part / in_run, row = run / across, column = run - row * across;
    return (row * conv->dilation_h * me_ne16_padded_columns(conv, tile) + column * conv->dilation_w) * conv->c
        + 16 * op->part_groups * (part - run * in_run);
}

/* Index of the first part after `part` that belongs to another run or to the next tile. */
static int32_t end_of_run(const me_ne16_layer *layer, int32_t part)
{
    const me_ne16_sums_tile *tile = layer->tile;
    const int32_t in_run = parts_of_run(layer->op);
    return me_min(part - part % in_run + in_run, tile->first_part + tile->parts);
}

/* Sets up a job: outputs from k on, for the parts of one run from `part` on. */
static void job_of_parts(const me_ne16_layer *layer, int32_t first, int32_t last, int32_t part, int32_t k,
                         me_ne16_job *job)
{
    const me_ne16_sums_params *op = layer->op;
    const me_ne16_sums_tile *tile = layer->tile;
    const me_conv_s8_params *conv = &op->conv;
    const sums_image results = image_of_sums(op, &tile->conv);
    const int in_rows = has_rows(op, &tile->conv), of_part = 16 * op->part_groups;
    const int32_t all_k = op->halves * tile->conv.k, bytes = 4 * all_k;
    const int32_t rest = in_one_run(op) * conv->c - part % parts_of_run(op) * of_part;
    const int32_t plane_bytes = weight_bytes(op) * op->weight_bits * op->part_groups;
    const int32_t all_bytes = tile->parts * plane_bytes;
    const int32_t x_pixel = conv->stride_w * conv->c;
    const int32_t x_row = in_rows ? conv->stride_h * me_ne16_padded_columns(conv, &tile->conv) * conv->c
                                  : results.apart * x_pixel;
    me_ne16_outputs outputs = layer->outputs;
    outputs.inputs = me_min(rest, (end_of_run(layer, part) - part) * of_part);
    outputs.k = me_min(all_k - k, outputs_at_once(op, tile));
    outputs.weights += k * all_bytes + (part - tile->first_part) * plane_bytes;
    me_ne16_sums_job_of(&outputs, has_filter(op) ? 0 : ME_NE16_1X1, job);
    job->shape.weight_plane >>= op->x_wide;
    job->shape.weight_channel = (uint32_t)all_bytes;
    job->shape.config |= (part > 0 ? ME_NE16_STREAM_IN : 0) | (op->x_wide ? ME_NE16_WIDE_INPUT : 0);
    job->at.x = (const uint8_t *)tile->conv.padded + offset_of(op, &tile->conv, part)
        + first * (in_rows ? x_row : x_pixel);
    job->at.y = (int8_t *)(tile->sums + k) + first * bytes * (in_rows ? results.columns : 1);
    job->shape.x_pixel = (uint32_t)x_pixel;
    job->shape.x_row = (uint32_t)x_row;
    job->shape.y_pixel = (uint32_t)bytes;
    job->shape.y_row = (uint32_t)(results.columns * bytes);
    me_ne16_set_image(job, in_rows ? last - first : results.rows, in_rows ? results.columns : last - first,
                      has_filter(op) ? 2 : 0);
}

static void job_of(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const me_ne16_sums_tile *tile = layer->tile;
    job_of_parts(layer, first, end, tile->first_part, 0, job);
}

/* Starts all jobs except the first: the remaining outputs of the first run, then the other runs. */
static int32_t start_others(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_sums_params *op = layer->op;
    const me_ne16_sums_tile *tile = layer->tile;
    const int32_t at_once = outputs_at_once(op, tile);
    int32_t number = 0, k = at_once;
    for (int32_t part = tile->first_part; part < tile->first_part + tile->parts;
         part = end_of_run(layer, part), k = 0)
        for (; k < op->halves * tile->conv.k; k += at_once) {
            me_ne16_job job;
            job_of_parts(layer, first, end, part, k, &job);
            number = me_ne16_start(&job);
        }
    return number;
}

/* Requantises n sums of channel k from `sums` on, of consecutive pixels. */
static void requantise(const me_ne16_sums_params *op, const me_conv_s8_tile *conv, int32_t *sums, int32_t k,
                       int32_t n, int8_t *y)
{
    const int32_t words = op->halves * conv->k;
    if (op->halves == 2)
        me_join_sums(sums, n, words, op->weight_bits);
    if (op->y_wide)
        me_limited_sums_s16(sums, n, words, conv->channels + k, &op->conv.scale, y, conv->y_stride);
    else
        me_sums_s8(sums, n, words, conv->channels + k, &op->conv.scale, y, conv->y_stride);
}

/* Channels are interleaved over cores: cores that process adjacent channels access different banks. */
static void finish(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_sums_params *op = layer->op;
    const me_ne16_sums_tile *tile = layer->tile;
    const me_conv_s8_tile *conv = &tile->conv;
    const sums_image results = image_of_sums(op, conv);
    const int in_rows = has_rows(op, conv);
    const int32_t pieces = in_rows ? 1 : results.rows;
    const int32_t from = in_rows ? first * conv->ow : first, n = (end - first) * (in_rows ? conv->ow : 1);
    const int32_t cores = ME_KERNEL_CORES(0), last = ME_END_PART(cores);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        for (int32_t k = part; k < conv->k; k += cores)
            for (int32_t piece = 0; piece < pieces; piece++)
                requantise(op, conv,
                           tile->sums + ((piece * results.columns + from) * conv->k + k) * op->halves, k, n,
                           conv->y + (piece * results.apart + from) * conv->y_stride + (k << op->y_wide));
}

void me_ne16_sums_layer(const me_ne16_sums_params *op, const me_ne16_sums_tile *tile, me_ne16_layer *layer)
{
    const sums_image results = image_of_sums(op, &tile->conv);
    const int32_t in_run = parts_of_run(op), behind = tile->first_part + tile->parts;
    const int32_t k = op->halves * tile->conv.k;
    const int32_t has_others =
        k > outputs_at_once(op, tile) || tile->first_part % in_run + tile->parts > in_run;
    *layer = (me_ne16_layer){
        .units = has_rows(op, &tile->conv) ? results.rows : results.columns,
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
                     .k = k,
                     .weight_bytes = weight_bytes(op),
                     .weight_bits = op->weight_bits },
    };
}
