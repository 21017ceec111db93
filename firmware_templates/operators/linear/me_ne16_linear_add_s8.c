/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_linear_add_s8.h"

void me_ne16_linear_add_s8_layer(const me_ne16_linear_add_s8_params *op,
                                 const me_ne16_linear_add_s8_tile *tile, me_ne16_layer *layer)
{
    me_ne16_linear_s8_layer(&op->linear, &tile->linear, layer);
    me_ne16_add_another(layer, &op->add, tile->b, tile->y);
    layer->next = &tile->next;
}
