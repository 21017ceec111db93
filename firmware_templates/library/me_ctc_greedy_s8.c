/* SPDX-License-Identifier: Apache-2.0 */
#include "me_classes.h"

#include "me_share.h"

/* The first of the largest. */
static int32_t best_of(const int8_t *row, int32_t classes)
{
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++)
        best = row[c] > row[best] ? c : best;
    return best;
}

static int32_t best_of_wide(const int16_t *row, int32_t classes)
{
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++)
        best = row[c] > row[best] ? c : best;
    return best;
}

/* Leaves out repetitions and blanks of out[1 .. steps]. */
static void collapse(const me_ctc_greedy_s8_params *op, int32_t *out)
{
    int32_t before = ME_NO_CLASS, count = 0;
    for (int32_t t = 1; t <= op->steps; t++) {
        const int32_t now = out[t];
        if (now != before && now != op->blank)
            out[++count] = now;
        before = now;
    }
    out[0] = count;
    while (count < op->steps)
        out[++count] = ME_NO_CLASS;
}

void me_ctc_greedy_s8(const me_ctc_greedy_s8_params *op, const me_ctc_greedy_s8_tile *tile)
{
    const int32_t batch = tile->batch, n = op->steps * batch, room = op->steps + 1;
    /* The best of a frame waits where its symbol would be if none before it were left out. */
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const int32_t at = i * op->classes;
        tile->y[i % batch * room + 1 + i / batch] = op->x_wide
                                                        ? best_of_wide((const int16_t *)tile->x + at, op->classes)
                                                        : best_of((const int8_t *)tile->x + at, op->classes);
    }
    ME_SYNC();
    for (int32_t lane = ME_FIRST(batch); lane < ME_LAST(batch); lane++)
        collapse(op, tile->y + lane * room);
}
