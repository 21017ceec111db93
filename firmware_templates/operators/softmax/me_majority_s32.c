/* SPDX-License-Identifier: Apache-2.0 */
#include "me_classes.h"

#include "me_share.h"

/* The class with the most votes, of several the smallest. */
static int32_t elected(const int32_t *votes, int32_t classes)
{
    int32_t most = 0;
    for (int32_t c = 1; c < classes; c++)
        most = votes[c] > votes[most] ? c : most;
    return most;
}

void me_majority_s32(const me_majority_s32_params *op, const me_majority_s32_tile *tile)
{
    const int32_t inner = op->inner, frames = tile->outer * op->made, n = frames * inner, last = ME_LAST(n);
    int32_t *votes = (int32_t *)(void *)tile->scratch + ME_CORE() * op->classes;
    for (int32_t i = ME_FIRST(n); i < last; i++) {
        const int32_t frame = i / inner, outer = frame / op->made, t = frame - outer * op->made - op->before;
        const int32_t *signal = tile->x + outer * op->given * inner + i - frame * inner;
        for (int32_t c = 0; c < op->classes; c++)
            votes[c] = 0;
        for (int32_t at = t < 0 ? 0 : t; at < t + op->taps; at++)
            if ((uint32_t)signal[at * inner] < (uint32_t)op->classes)
                votes[signal[at * inner]]++;
        tile->y[i] = elected(votes, op->classes);
    }
}
