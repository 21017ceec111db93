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

void me_ne16_conv_mean_s8_layer(const me_ne16_conv_mean_s8_params *op, const me_ne16_conv_mean_s8_tile *tile,
                                me_ne16_layer *layer)
{
    me_ne16_conv_s8_layer(&op->conv, &tile->conv, layer);
    layer->op = op;
    layer->tile = tile;
    layer->finish = finish;
    layer->next = &tile->next;
}
