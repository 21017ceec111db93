/* SPDX-License-Identifier: Apache-2.0
 * What greedy CTC of 8 and of 16 bits share: from the best class of every frame to symbols.
 */
#ifndef ME_CTC_SYMBOLS_H
#define ME_CTC_SYMBOLS_H

#include "me_classes.h"

#include "me_share.h"

/* Where the best class of frame i of [steps][batch] waits: where its symbol would be if none before it were
 * left out. */
static inline int32_t *me_ctc_waiting(const me_ctc_greedy_s8_params *op, int32_t *y, int32_t batch, int32_t i)
{
    return y + i % batch * (op->steps + 1) + 1 + i / batch;
}

/* Leaves out repetitions and blanks of out[1 .. steps]. */
static inline void me_ctc_collapse(const me_ctc_greedy_s8_params *op, int32_t *out)
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

/* Behind a barrier, the symbols of the core's sequences. */
static inline void me_ctc_symbols(const me_ctc_greedy_s8_params *op, int32_t *y, int32_t batch)
{
    ME_SYNC();
    for (int32_t lane = ME_FIRST(batch); lane < ME_LAST(batch); lane++)
        me_ctc_collapse(op, y + lane * (op->steps + 1));
}

#endif
