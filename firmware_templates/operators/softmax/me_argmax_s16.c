/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_share.h"

void me_argmax_s16(const me_argmax_s16_params *op, const me_argmax_s16_tile *tile)
{
    const int32_t inner = tile->inner, length = op->length, rows = tile->outer * inner;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int16_t *x = tile->x + row / inner * length * inner + row % inner;
        int32_t most = *x, best = 0;
        for (int32_t i = 1; i < length; i++) {
            x += inner;
            if (*x > most) {
                most = *x;
                best = i;
            }
        }
        tile->y[row] = best;
    }
}
