/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_linear_add_s8.h"

#include "me_broadcast.h"
#include "me_elementwise_rows.h"
#include "me_share.h"

/* Parameters and tile of a linear layer are the first members of these. */
static void finish(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_linear_add_s8_params *op = layer->op;
    const me_ne16_linear_add_s8_tile *tile = layer->tile;
    const int32_t at = first * tile->linear.k, n = (end - first) * tile->linear.k;
    if (layer->nine)
        me_ne16_finish_nine(layer, first, end);
    else if (layer->table)
        me_ne16_look_up(layer, first, end);
    if (layer->nine || layer->table)
        ME_SYNC();
    const me_part part = me_part_of(n);
    const int32_t i = at + part.first;
    if (part.last > part.first)
        me_add_s16_row(&op->add, layer->y + i, tile->b + (i << op->add.b_wide),
                       tile->y + (i << op->add.y_wide), part.last - part.first);
}

void me_ne16_linear_add_s8_layer(const me_ne16_linear_add_s8_params *op,
                                 const me_ne16_linear_add_s8_tile *tile, me_ne16_layer *layer)
{
    me_ne16_linear_s8_layer(&op->linear, &tile->linear, layer);
    layer->op = op;
    layer->tile = tile;
    layer->finish = finish;
    layer->next = &tile->next;
}
