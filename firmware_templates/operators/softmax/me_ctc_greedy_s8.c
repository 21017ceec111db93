/* SPDX-License-Identifier: Apache-2.0 */
#include "me_classes.h"

#include "me_ctc_symbols.h"

/* The first of the largest. */
static int32_t best_of(const int8_t *row, int32_t classes)
{
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++)
        best = row[c] > row[best] ? c : best;
    return best;
}

void me_ctc_greedy_s8(const me_ctc_greedy_s8_params *op, const me_ctc_greedy_s8_tile *tile)
{
    const int32_t batch = tile->batch, n = op->steps * batch;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++)
        *me_ctc_waiting(op, tile->y, batch, i) = best_of(tile->x + i * op->classes, op->classes);
    me_ctc_symbols(op, tile->y, batch);
}
