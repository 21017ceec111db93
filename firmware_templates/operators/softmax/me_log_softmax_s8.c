/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_math.h"
#include "me_share.h"
#include "me_softmax_rows.h"

void me_log_softmax_s8(const me_log_softmax_s8_params *op, const me_log_softmax_s8_tile *tile)
{
    const int32_t rows = tile->outer * tile->inner, length = op->length, step = tile->inner;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t at = me_row_start(tile, length, row);
        const int8_t *x = tile->x + at;
        int8_t *y = (int8_t *)tile->y + at;
        const int32_t most = me_row_max(x, length, step);
        const uint32_t sum = me_row_sum(x, length, step, op->exp, most);
        const int32_t halvings = me_fl1(sum) - 15;
        const int32_t log_sum = op->log[(sum >> halvings >> 7) - 256u] + halvings * op->ln2;
        const int32_t below = log_sum * op->log_mult + op->offset;
        for (int32_t i = 0; i < length * step; i += step)
            y[i] = me_clip(((most - x[i]) * op->mult + below) >> op->shift, op->low, op->high);
    }
}
