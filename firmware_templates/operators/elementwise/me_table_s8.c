/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include "me_broadcast.h"
#include "me_table.h"

void me_table_s8(const me_table_s8_params *op, const me_table_s8_tile *tile)
{
    const me_part part = me_part_of(tile->n);
    me_table_row(op->table, tile->x + part.first, tile->y + part.first, part.last - part.first);
}
