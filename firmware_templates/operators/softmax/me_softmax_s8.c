/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_math.h"
#include "me_share.h"
#include "me_softmax_rows.h"

void me_softmax_s8(const me_softmax_s8_params *op, const me_softmax_s8_tile *tile)
{
    const int32_t rows = tile->outer * tile->inner, length = op->length, step = tile->inner;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t at = me_row_start(tile, length, row);
        const int8_t *x = tile->x + at;
        const int32_t most = me_row_max(x, length, step);
        const uint32_t sum = me_row_sum(x, length, step, op->exp, most);
        const int32_t halvings = me_fl1(sum) - 15;
        me_row_probabilities(x, (int8_t *)tile->y + at, length, step, op->exp, most,
                             0x80000000u / (sum >> halvings), 8 + halvings);
    }
}
