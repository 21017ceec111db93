/* SPDX-License-Identifier: Apache-2.0 */
#include "me_layout.h"

#include "me_copy_rows.h"
#include "me_share.h"

void me_copy_s8(const me_copy_s8_params *op, const me_copy_s8_tile *tile)
{
    if (op->fills) {
        me_fill_bytes(tile->y, tile->bytes, (uint32_t)op->value);
        ME_SYNC();
    }
    for (int32_t i = 0; i < tile->parts; i++)
        me_copy_rows(&tile->part[i]);
}
