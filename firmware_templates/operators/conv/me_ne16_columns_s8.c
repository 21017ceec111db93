/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_columns_s8.h"

#include "me_share.h"
#include "me_table.h"

static void prepare(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_columns_s8_tile *tile = layer->tile;
    me_ne16_prepare_image(layer, first, end, tile->x_column);
}

/* Rows of the image are interleaved in rows of y. */
static void look_up(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_columns_s8_tile *tile = layer->tile;
    const int32_t columns = tile->conv.ow;
    for (int32_t i = ME_FIRST(columns); i < ME_LAST(columns); i++) {
        int8_t *y = tile->conv.y + i * tile->conv.y_stride + first * tile->y_row;
        me_table_row(layer->table, y, y, (end - first) * tile->y_row);
    }
}

void me_ne16_columns_s8_layer(const me_ne16_columns_s8_params *op, const me_ne16_columns_s8_tile *tile,
                              me_ne16_layer *layer)
{
    me_ne16_conv_s8_layer(op, tile, layer);
    layer->units = tile->conv.oh;
    layer->in_run = 0;
    layer->prepare = layer->prepare ? prepare : 0;
    layer->job = me_ne16_job_of_image;
    layer->unit_bytes = tile->y_row;
    layer->finish = layer->finish ? look_up : 0;
}
