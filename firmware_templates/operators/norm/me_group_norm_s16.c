/* SPDX-License-Identifier: Apache-2.0 */
#include "me_group_norm_s16.h"

#include "me_group_parts.h"

void me_group_norm_s16(const me_group_norm_s16_params *op, const me_group_norm_s16_tile *tile)
{
    me_group_norm(&op->norm, tile, op->x_wide, op->y_wide);
}
