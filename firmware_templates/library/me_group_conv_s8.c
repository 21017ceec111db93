/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise.h"

#include <stdbool.h>

#include "me_math.h"
#include "me_share.h"

static int8_t stored(const me_scale *scale, const me_channel *c, int32_t acc)
{
    const int32_t q = me_requant(acc, scale->pre, c->mult, c->offset, c->shift);
    const int8_t limited = me_clip(q, scale->low, scale->high);
    return scale->table ? me_lookup(scale->table, limited) : limited;
}

static int32_t group_sum(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t pixel_bytes,
                         const int8_t *weights, const int8_t *corner, int32_t top, int32_t left)
{
    int32_t acc = 0;
    for (int32_t r = 0; r < op->k_h; r++)
        for (int32_t s = 0; s < op->k_w; s++, weights += op->c) {
            const int32_t y = top + r * op->dilation_h, x = left + s * op->dilation_w;
            const bool inside = y >= 0 && y < tile->h && x >= 0 && x < tile->w;
            const int8_t *from = corner + y * tile->row_stride + x * pixel_bytes;
            const int8_t *w = weights;
            int32_t c = 0;
            for (; inside && c + 4 <= op->c; c += 4)
                acc = me_sdotsp_b(acc, me_next_w(&from), me_next_w(&w));
            for (; c < op->c; c++)
                acc += (inside ? *from++ : op->x_zero) * *w++;
        }
    return acc;
}

void me_group_conv_s8(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t groups)
{
    const int32_t each = tile->k / groups, taps = op->k_h * op->k_w * op->c;
    const int32_t n = tile->oh * tile->ow * tile->k;
    for (int32_t at = ME_FIRST(n); at < ME_LAST(n); at++) {
        const int32_t pixel = at / tile->k, k = at - pixel * tile->k;
        const int32_t top = pixel / tile->ow * op->stride_h - tile->pad_top;
        const int32_t left = pixel % tile->ow * op->stride_w - tile->pad_left;
        const int32_t acc = group_sum(op, tile, groups * op->c, tile->weights + k * taps,
                                      tile->x + k / each * op->c, top, left);
        const me_channel *c = tile->channels + k;
        tile->y[pixel * tile->y_stride + k] = stored(&op->scale, c, acc + c->bias);
    }
}
