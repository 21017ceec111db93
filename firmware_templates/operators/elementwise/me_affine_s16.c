/* SPDX-License-Identifier: Apache-2.0 */
#include "me_affine_s16.h"

#include "me_share.h"
#include "me_wide.h"

/* Numbers first .. last - 1; inside: of a channel, one after the other. */
static void scale_numbers(const me_affine_s16_params *op, const me_affine_s16_tile *tile, int32_t first,
                          int32_t last, int32_t inside)
{
    const int32_t x_wide = op->x_wide, y_wide = op->y_wide, zero = op->x_zero;
    const me_scale scale = op->scale;
    const me_channel *const end = op->each + op->channels, *c = op->each + first / inside % op->channels;
    for (int32_t at = first, left = inside - first % inside; at < last; at++) {
        const int32_t x = me_wide_load(tile->x, at, x_wide);
        const me_channel *own = x < zero ? c : end;
        me_wide_store(tile->y, at, y_wide, &scale, me_mac(own->offset, x, own->mult) >> own->shift);
        if (--left == 0) {
            left = inside;
            c = c + 1 < end ? c + 1 : op->each;
        }
    }
}

void me_affine_s16(const me_affine_s16_params *op, const me_affine_s16_tile *tile)
{
    const int32_t n = tile->outer * op->channels * tile->inner;
    scale_numbers(op, tile, ME_FIRST(n), ME_LAST(n), tile->inner);
}
