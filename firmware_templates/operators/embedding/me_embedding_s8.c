/* SPDX-License-Identifier: Apache-2.0 */
#include "me_embedding.h"

#include "me_copy_rows.h"
#include "me_math.h"
#include "me_share.h"

/* Rows of one byte: a function of an integer. */
static void bytes_of_int32(const me_embedding_s8_params *op, const int32_t *ids, int8_t *y, int32_t n)
{
    const int32_t first = op->first, end = first + op->last_row;
    const int8_t *table = op->table;
    int32_t i = 0;
    for (; i + 1 < n; i += 2) {
        const int32_t a = me_max(ids[i], first), b = me_max(ids[i + 1], first);
        const int8_t to_a = table[me_min(a, end) - first], to_b = table[me_min(b, end) - first];
        y[i] = to_a;
        y[i + 1] = to_b;
    }
    if (i < n)
        y[i] = table[me_min(me_max(ids[i], first), end) - first];
}

static void bytes_of_ids(const me_embedding_s8_params *op, const me_embedding_s8_tile *tile)
{
    const int32_t first = ME_FIRST(tile->n), last = ME_LAST(tile->n);
    if (op->bytes_per_id == 4) {
        bytes_of_int32(op, (const int32_t *)tile->ids + first, tile->y + first, last - first);
        return;
    }
    for (int32_t i = first; i < last; i++)
        tile->y[i] = op->table[me_row_of(op, tile->ids, i)];
}

/* Bytes are shared, not rows: a row may be of two cores. */
void me_embedding_s8(const me_embedding_s8_params *params, const me_embedding_s8_tile *tile)
{
    const me_embedding_s8_params op = *params;
    if (op.width == 1) {
        bytes_of_ids(&op, tile);
        return;
    }
    const int32_t bytes = tile->bytes, total = tile->n * bytes, units = (total + 15) / 16;
    const int32_t last = 16 * ME_LAST(units) < total ? 16 * ME_LAST(units) : total;
    int32_t done = 16 * ME_FIRST(units), i = done / bytes, column = done - i * bytes;
    for (; done < last; i++, column = 0) {
        const int32_t rest = bytes - column, n = rest < last - done ? rest : last - done;
        const int32_t row = me_row_of(&op, tile->ids, i);
        me_copy_piece(op.table + row * op.width + tile->start + column, tile->y + done, n);
        done += n;
    }
}
