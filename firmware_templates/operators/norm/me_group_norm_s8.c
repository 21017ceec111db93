/* SPDX-License-Identifier: Apache-2.0 */
#include "me_group_norm.h"

#include "me_group_parts.h"

void me_group_norm_s8(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile)
{
    me_group_norm(op, tile, 0, 0);
}
