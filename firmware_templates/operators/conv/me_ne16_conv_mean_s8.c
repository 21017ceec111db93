/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_conv_mean_s8.h"

#include "me_share.h"

/* Parameters and tile of a convolution are the first members of these. */
static void finish(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_mean_s8_params *op = layer->op;
    const me_ne16_conv_mean_s8_tile *tile = layer->tile;
    const int32_t k = tile->conv.conv.k;
    if (layer->table) {
        me_ne16_look_up(layer, first, end);
        ME_SYNC();
    }
    const me_reduce_s8_tile rows = { layer->y + first * layer->unit_bytes, tile->y + first * k, end - first,
                                     k };
    me_reduce_s8(&op->mean, &rows);
}

static __attribute__((noinline)) me_ne16_layer layer_of(const void *op, const void *arguments)
{
    const me_ne16_conv_mean_s8_tile *tile = arguments;
    me_ne16_layer layer = me_ne16_conv_layer(op, tile);
    layer.finish = finish;
    layer.of = layer_of;
    layer.next = &tile->next;
    return layer;
}

void me_ne16_conv_mean_s8(const me_ne16_conv_mean_s8_params *op, const me_ne16_conv_mean_s8_tile *tile)
{
    const me_ne16_layer layer = layer_of(op, tile);
    me_ne16_run(&layer);
}
