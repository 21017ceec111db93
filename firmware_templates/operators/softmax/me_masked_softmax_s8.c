/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_math.h"
#include "me_share.h"
#include "me_softmax_rows.h"

/* y = x where it is seen, -128 elsewhere; returns how many are hidden, 0 if all are. */
static int32_t hide(const int8_t *x, const int8_t *mask, int8_t *y, int32_t length, int32_t step,
                    int32_t flat)
{
    const int32_t end = length * step;
    int32_t count = 0;
    for (int32_t i = 0; i < end; i += step)
        count += mask[i] < 0;
    const int32_t blind = count == length;
    for (int32_t i = 0; i < end; i += step)
        y[i] = blind ? (flat ? 0 : x[i]) : mask[i] < 0 ? -128 : x[i];
    return blind ? 0 : count;
}

void me_masked_softmax_s8(const me_masked_softmax_s8_params *op, const me_masked_softmax_s8_tile *tile)
{
    const me_softmax_s8_tile all = { tile->x, tile->y, tile->repeats * tile->rows, tile->inner };
    const int32_t length = op->length, step = tile->inner, whole = tile->rows * length * step;
    const int32_t rows = all.outer * step;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t at = me_row_start(&all, length, row);
        const int8_t *mask = tile->mask + at % whole;
        int8_t *y = tile->y + at;
        const int32_t count = hide(tile->x + at, mask, y, length, step, op->flat);
        const int32_t most = me_row_max(y, length, step);
        const uint32_t sum =
            me_row_sum(y, length, step, op->exp, most) - (uint32_t)count * op->exp[most + 128];
        const int32_t halvings = me_fl1(sum) - 15;
        me_row_probabilities(y, y, length, step, op->exp, most, 0x80000000u / (sum >> halvings),
                             8 + halvings);
        for (int32_t i = 0; count && i < length * step; i += step)
            y[i] = mask[i] < 0 ? -128 : y[i];
    }
}
