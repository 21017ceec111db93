/* SPDX-License-Identifier: Apache-2.0 */
#include "me_group_conv_s8.h"

#include <stddef.h>

#include "me_math.h"
#include "me_share.h"

/* ---- one row of taps of one window: `taps` pixels from x on, times `weights` */

static int32_t sum_words(int32_t acc, const int8_t *x, int32_t step, const int8_t *weights, int32_t taps,
                         int32_t c)
{
    for (; taps > 0; taps--, x += step) {
        const int8_t *from = x;
        int32_t left = c;
        for (; left >= 4; left -= 4)
            acc = me_sdotsp_b(acc, me_next_w(&from), me_next_w(&weights));
        for (; left > 0; left--)
            acc = me_mac(acc, me_next_b(&from), me_next_b(&weights));
    }
    return acc;
}

/* One channel: one word of weights per four taps. */
static int32_t sum_bytes(int32_t acc, const int8_t *x, int32_t step, const int8_t *weights, int32_t taps)
{
    for (; taps >= 4; taps -= 4) {
        const int32_t a = me_step_b(&x, step), b = me_step_b(&x, step);
        const int32_t c = me_step_b(&x, step), d = me_step_b(&x, step);
        acc = me_sdotsp_b(acc, me_pack_b(a, b, c, d), me_next_w(&weights));
    }
    for (; taps > 0; taps--)
        acc = me_mac(acc, me_step_b(&x, step), me_next_b(&weights));
    return acc;
}

static int32_t sum_padding(int32_t acc, int32_t value, const int8_t *weights, int32_t n)
{
    const uint32_t values = me_pack_b(value, value, value, value);
    for (; n >= 4; n -= 4)
        acc = me_sdotsp_b(acc, values, me_next_w(&weights));
    for (; n > 0; n--)
        acc = me_mac(acc, value, me_next_b(&weights));
    return acc;
}

/* ---- a window */

/* Taps [first, end) of a row are inside x; `channels` weights per tap. */
typedef struct {
    int32_t first, end, channels;
} row_of_taps;

/* Number of the positions at, at + step, .. (n of them) that are below `end`. */
static int32_t positions_before(int32_t at, int32_t step, int32_t n, int32_t end)
{
    return at >= end ? 0 : me_min((end - at + step - 1) / step, n);
}

static int32_t sum_row(const me_group_conv_s8_params *op, const int8_t *x, const int8_t *weights,
                       row_of_taps row, int32_t acc)
{
    const int32_t c = row.channels, step = op->dilation_w * op->groups * op->c, inside = row.end - row.first;
    acc = sum_padding(acc, op->x_zero, weights, row.first * c);
    weights += row.first * c;
    acc = c == 1 ? sum_bytes(acc, x, step, weights, inside) : sum_words(acc, x, step, weights, inside, c);
    return sum_padding(acc, op->x_zero, weights + inside * c, (op->k_w - row.end) * c);
}

/* x: the window's channels of the first pixel of the tile */
static int32_t window_sum(const me_group_conv_s8_params *op, const me_group_conv_s8_tile *tile,
                          const int8_t *x, const int8_t *weights, int32_t top, int32_t left)
{
    const int32_t planes = op->c < 4 ? op->c : 1, step = op->dilation_w;
    const int32_t first = positions_before(left, step, op->k_w, 0);
    const int32_t end = positions_before(left, step, op->k_w, tile->w);
    const row_of_taps row = { first, end < first ? first : end, op->c / planes };
    const int32_t in_row = op->k_w * row.channels;
    int32_t acc = 0;
    x += (ptrdiff_t)(left + first * step) * op->groups * op->c;
    for (int32_t plane = 0; plane < planes; plane++, x++)
        for (int32_t r = 0, y = top; r < op->k_h; r++, y += op->dilation_h, weights += in_row) {
            if (y >= 0 && y < tile->h)
                acc = sum_row(op, x + (ptrdiff_t)y * tile->row_stride, weights, row, acc);
            else
                acc = sum_padding(acc, op->x_zero, weights, in_row);
        }
    return acc;
}

static int8_t requantise(const me_scale *scale, const me_channel *c, int32_t acc)
{
    const int32_t q = me_requant(acc + c->bias, scale->pre, c->mult, c->offset, c->shift);
    const int8_t limited = me_clip(q, scale->low, scale->high);
    return scale->table ? me_lookup(scale->table, limited) : limited;
}

void me_group_conv_s8(const me_group_conv_s8_params *op, const me_group_conv_s8_tile *tile)
{
    const int32_t each = tile->k / op->groups, taps = op->k_h * op->k_w * op->c;
    const int32_t n = tile->oh * tile->ow * tile->k;
    for (int32_t at = ME_FIRST(n); at < ME_LAST(n); at++) {
        const int32_t pixel = at / tile->k, k = at - pixel * tile->k, row = pixel / tile->ow;
        const int32_t top = row * op->stride_h - tile->pad_top;
        const int32_t left = (pixel - row * tile->ow) * op->stride_w - tile->pad_left;
        const int8_t *weights = tile->weights + (ptrdiff_t)k * taps;
        const int32_t acc = window_sum(op, tile, tile->x + k / each * op->c, weights, top, left);
        tile->y[(ptrdiff_t)pixel * tile->y_stride + k] = requantise(&op->scale, tile->channels + k, acc);
    }
}
