/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_conv_sums_s16.h"

#include "me_share.h"
#include "me_sums_s8.h"

/* Requantises n sums of channel k from `sums` on, of consecutive pixels. */
static void requantise(const me_ne16_conv_sums_s16_params *op, const me_conv_s8_tile *conv, int32_t *sums,
                       int32_t k, int32_t n, int8_t *y)
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
    const me_ne16_conv_sums_s16_params *op = layer->op;
    const me_ne16_conv_sums_s16_tile *tile = layer->tile;
    const me_conv_s8_tile *conv = &tile->conv;
    const me_ne16_sums_image results = me_ne16_image_of_sums(op, conv);
    const int32_t in_rows = results.rows == conv->oh, pieces = in_rows ? 1 : results.rows;
    const int32_t from = in_rows ? first * conv->ow : first, n = (end - first) * (in_rows ? conv->ow : 1);
    const int32_t cores = ME_KERNEL_CORES(0), last = ME_END_PART(cores);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        for (int32_t k = part; k < conv->k; k += cores)
            for (int32_t piece = 0; piece < pieces; piece++)
                requantise(op, conv,
                           tile->sums + ((piece * results.columns + from) * conv->k + k) * op->halves, k, n,
                           conv->y + (piece * results.apart + from) * conv->y_stride + (k << op->y_wide));
}

void me_ne16_conv_sums_s16_layer(const me_ne16_conv_sums_s16_params *op,
                                 const me_ne16_conv_sums_s16_tile *tile, me_ne16_layer *layer)
{
    me_ne16_conv_sums_s8_layer(op, tile, layer);
    layer->finish = layer->finish ? finish : 0;
}
