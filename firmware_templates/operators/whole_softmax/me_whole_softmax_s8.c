/* SPDX-License-Identifier: Apache-2.0 */
#include "me_whole_softmax.h"

#include "me_share.h"
#include "me_softmax_rows.h"

void me_whole_softmax_s8(const me_whole_softmax_s8_params *op, const me_whole_softmax_s8_tile *tile)
{
    const int32_t length = op->length;
    const uint32_t most = (uint32_t)op->most;
    for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++) {
        const int8_t *x = tile->x + row * length;
        int8_t *y = tile->y + row * length;
        const int32_t largest = me_row_max(x, length, 1);
        uint32_t sum = 0;
        for (int32_t i = 0; i < length; i++)
            sum += op->exp[largest - x[i]];
        for (int32_t i = 0; i < length; i++)
            y[i] = (int8_t)((int32_t)(op->exp[largest - x[i]] * most / sum) - 128);
    }
}
