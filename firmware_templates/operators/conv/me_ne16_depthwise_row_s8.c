/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_depthwise_row_s8.h"

/* The first job may store one or two results more, in the place of those that the next job stores later. */
static int32_t program_threes(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const me_ne16_conv_s8_tile *tile = layer->tile;
    const int32_t c = layer->outputs.inputs, y_pixel = layer->nine ? layer->outputs.k : tile->conv.y_stride;
    me_ne16_job job = me_ne16_job_of(&layer->outputs, ME_NE16_DEPTHWISE);
    job.x = (const uint8_t *)tile->conv.padded + first * c;
    job.y = layer->nine ? layer->nine : tile->conv.y + first * y_pixel;
    job.x_pixel = (uint32_t)c;
    job.x_row = (uint32_t)(3 * c);
    job.y_pixel = (uint32_t)y_pixel;
    job.y_row = (uint32_t)(3 * y_pixel);
    me_ne16_set_image(&job, (end - first + 2) / 3, 3, 2);
    return me_ne16_program(&job);
}

void me_ne16_depthwise_row_s8(const me_ne16_depthwise_row_s8_params *op,
                              const me_ne16_depthwise_row_s8_tile *tile)
{
    me_ne16_layer layer = me_ne16_conv_layer(op, tile);
    layer.program = program_threes;
    layer.outputs.inputs = op->conv.c;
    layer.outputs.weight_bytes = 18;
    me_ne16_run(&layer);
}
