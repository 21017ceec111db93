/* SPDX-License-Identifier: Apache-2.0 */
#include "me_embedding.h"

#include "me_share.h"

void me_embedding_fetched_s8(const me_embedding_fetched_s8_params *op,
                             const me_embedding_fetched_s8_tile *tile)
{
#ifdef ME_GAP9
    if (!ME_IS_CONTROL_CORE())
        return;
#endif
    const me_embedding_rows rows = op->rows;
    const int8_t *table = op->table + tile->start;
    int8_t *y = tile->y;
    for (int32_t i = 0; i < tile->n; i++, y += tile->bytes)
        op->fetch(y, table + me_row_of(&rows, tile->ids, i) * rows.width, tile->bytes, tile->bytes, 0);
}
