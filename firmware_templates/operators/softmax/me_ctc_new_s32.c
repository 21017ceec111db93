/* SPDX-License-Identifier: Apache-2.0 */
#include "me_classes.h"

#include "me_share.h"

void me_ctc_new_s32(const me_ctc_new_s32_params *op, const me_ctc_new_s32_tile *tile)
{
    const int32_t inner = op->inner, frames = tile->outer * op->made, n = frames * inner, last = ME_LAST(n);
    for (int32_t i = ME_FIRST(n); i < last; i++) {
        const int32_t frame = i / inner, outer = frame / op->made, t = frame - outer * op->made - op->before;
        const int32_t *at = tile->x + (outer * op->given + t) * inner + i - frame * inner;
        const int32_t was = t < 0 ? ME_NO_CLASS : at[0], now = at[inner];
        tile->y[i] = now != was && now != op->blank ? now : ME_NO_CLASS;
    }
}
