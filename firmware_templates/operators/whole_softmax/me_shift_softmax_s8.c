/* SPDX-License-Identifier: Apache-2.0 */
#include "me_whole_softmax.h"

#include "me_share.h"
#include "me_softmax_rows.h"

static inline int32_t halvings(int32_t largest, int32_t x) { return (largest - x + 16) >> 5; }

void me_shift_softmax_s8(const me_shift_softmax_s8_params *op, const me_shift_softmax_s8_tile *tile)
{
    const int32_t length = op->length, group = op->group;
    for (int32_t row = ME_FIRST(tile->rows); row < ME_LAST(tile->rows); row++) {
        const int8_t *x = tile->x + row * length;
        int8_t *y = tile->y + row * length;
        int32_t largest = -128, sum = 0;
        for (int32_t start = 0; start < length; start += group) {
            const int32_t own = me_row_max(x + start, group, 1);
            if (own > largest) {
                sum >>= halvings(own, largest);
                largest = own;
            }
            for (int32_t i = start; i < start + group; i++)
                sum += 256 >> halvings(largest, x[i]);
        }
        const int32_t share = 256 * op->most / sum;
        for (int32_t i = 0; i < length; i++)
            y[i] = (int8_t)((share >> halvings(largest, x[i])) - 128);
    }
}
