/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_share.h"
#include "me_softmax_rows.h"

void me_argmax_s8(const me_argmax_s8_params *op, const me_argmax_s8_tile *tile)
{
    const int32_t rows = tile->outer * tile->inner;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int8_t *x = tile->x + me_row_start(tile, op->length, row);
        const int32_t most = me_row_max(x, op->length, tile->inner);
        int32_t i = 0;
        for (; *x != most; x += tile->inner)
            i++;
        ((int32_t *)tile->y)[row] = i;
    }
}
