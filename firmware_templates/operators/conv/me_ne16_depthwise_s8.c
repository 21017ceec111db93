/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_depthwise_s8.h"

/* From unit `at` of the input's axis on: the number of existing input units, and the padding before the
 * first result's window. */
typedef struct {
    int32_t first, n, pad;
} extent;

static extent behind(int32_t at, int32_t n, int32_t pad)
{
    const int32_t from = at - pad, first = from < 0 ? 0 : from < n ? from : n;
    return (extent){ first, n - first, first - from };
}

/* The part of a tile after its first units, which the engine computes. */
static me_conv_s8_tile rest_of(const me_ne16_layer *layer)
{
    const me_ne16_depthwise_s8_params *op = layer->op;
    const me_ne16_depthwise_s8_tile *tile = layer->tile;
    const me_conv_s8_params *conv = &op->jobs.conv.conv;
    me_conv_s8_tile rest = tile->jobs.conv;
    if (op->jobs.conv.way == ME_NE16_PIXELS) {
        const extent columns = behind(tile->units * conv->stride_w, rest.w, rest.pad_left);
        rest.x += columns.first * rest.k;
        rest.w = columns.n;
        rest.pad_left = columns.pad;
        rest.ow -= tile->units;
    } else {
        const extent rows = behind(tile->units * conv->stride_h, rest.h, rest.pad_top);
        rest.x += rows.first * rest.row_stride;
        rest.h = rows.n;
        rest.pad_top = rows.pad;
        rest.oh -= tile->units;
    }
    rest.y += tile->units * layer->unit_bytes;
    rest.weights = tile->weights;
    rest.channels = tile->channels;
    rest.scratch = tile->scratch;
    return rest;
}

static void compute_rest(const me_ne16_layer *layer)
{
    const me_ne16_depthwise_s8_params *op = layer->op;
    const me_conv_s8_tile rest = rest_of(layer);
    if (rest.oh > 0 && rest.ow > 0)
        me_depthwise_conv_s8(&op->jobs.conv.conv, &rest);
}

void me_ne16_depthwise_s8_layer(const me_ne16_depthwise_s8_params *op, const me_ne16_depthwise_s8_tile *tile,
                                me_ne16_layer *layer)
{
    me_ne16_phases_s8_layer(&op->jobs, &tile->jobs, layer);
    layer->op = op;
    layer->tile = tile;
    layer->units = tile->units;
    layer->beside = compute_rest;
}
