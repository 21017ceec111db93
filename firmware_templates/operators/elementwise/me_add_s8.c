/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include "me_add_row.h"
#include "me_broadcast.h"
#include "me_elementwise_rows.h"

void me_add_s8(const me_add_s8_params *op, const me_add_s8_tile *tile)
{
    me_each_row(tile, me_add_row,
                op->bits == 8        ? me_add_word_loops_8
                    : op->bits == 24 ? me_add_word_loops_24
                                     : me_add_word_loops,
                op, op->scale.table);
}
