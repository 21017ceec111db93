/* SPDX-License-Identifier: Apache-2.0
 * Greedy CTC: the body of me_ctc_instances.def's kernels.
 */
#ifndef ME_CTC_SYMBOLS_H
#define ME_CTC_SYMBOLS_H

#include "me_classes.h"

#include "me_share.h"

/* Address at which the best class of frame i of [steps][batch] is stored until the sequence is collapsed:
 * its symbol's position if no earlier frame were left out. */
static inline int32_t *me_ctc_best_class_of(const me_ctc_greedy_params *op, int32_t *y, int32_t batch,
                                            int32_t i)
{
    return y + i % batch * (op->steps + 1) + 1 + i / batch;
}

/* Removes repetitions and blanks from out[1 .. steps] and sets out[0] to the number of symbols. */
static inline void me_ctc_collapse(const me_ctc_greedy_params *op, int32_t *out)
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

/* After a barrier, collapses this core's sequences. */
static inline void me_ctc_collapse_all(const me_ctc_greedy_params *op, int32_t *y, int32_t batch)
{
    ME_SYNC();
    for (int32_t lane = ME_FIRST(batch); lane < ME_LAST(batch); lane++)
        me_ctc_collapse(op, y + lane * (op->steps + 1));
}

/* -> the index of the first maximum of a row; bytes: of a score, 1 or 2 */
static inline int32_t me_ctc_best_class(const void *row, int32_t classes, int32_t bytes)
{
    const int8_t *narrow = row;
    const int16_t *wide = row;
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++)
        best = (bytes == 1 ? narrow[c] > narrow[best] : wide[c] > wide[best]) ? c : best;
    return best;
}

/* Finds the best class of this core's frames. x_bytes: bytes per score, a constant of the kernel */
static inline void me_ctc_greedy(const me_ctc_greedy_params *op, const me_ctc_greedy_tile *tile,
                                 int32_t x_bytes)
{
    const int32_t batch = tile->batch, n = op->steps * batch;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const int8_t *row = (const int8_t *)tile->x + x_bytes * i * op->classes;
        *me_ctc_best_class_of(op, tile->y, batch, i) = me_ctc_best_class(row, op->classes, x_bytes);
    }
    me_ctc_collapse_all(op, tile->y, batch);
}

#endif
