/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_phases_add_s8.h"

void me_ne16_phases_add_s8_layer(const me_ne16_phases_add_s8_params *op,
                                 const me_ne16_phases_add_s8_tile *tile, me_ne16_layer *layer)
{
    me_ne16_phases_s8_layer(&op->conv, &tile->conv, layer);
    me_ne16_add_another(layer, &op->add, tile->b, tile->y);
    layer->next = &tile->next;
}
