/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include "me_share.h"
#include "me_table.h"
#include "me_table_column.h"

/* Looks up values channel by channel: contiguous values of one channel, or one value in every row of
 * channels. */
void me_tables_s8(const me_tables_s8_params *op, const me_tables_s8_tile *tile)
{
    const int32_t inner = tile->inner, channels = tile->channels, outer = tile->outer;
    const int32_t runs = inner == 1 ? 1 : outer, each = inner == 1 ? outer : inner;
    const int32_t last = ME_LAST(runs * channels * each);
    (void)op;
    for (int32_t at = ME_FIRST(runs * channels * each), n; at < last; at += n) {
        const int32_t run = at / each, i = at - run * each, channel = run % channels;
        const int8_t *table = tile->tables + 256 * channel;
        n = each - i < last - at ? each - i : last - at;
        if (inner == 1) {
            const int32_t from = i * channels + channel;
            me_table_column(table + 128, tile->x + from, tile->y + from, n, channels);
        } else {
            me_table_row(table, tile->x + at, tile->y + at, n);
        }
    }
}
