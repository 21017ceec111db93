/* SPDX-License-Identifier: Apache-2.0 */
#include "me_wide_conv.h"

#include <stddef.h>

#include "me_wide_conv_rows.h"
#include "me_math.h"
#include "me_share.h"

static int32_t at_most(int32_t a, int32_t b) { return a < b ? a : b; }

static void copy(const me_wide_conv *op, const void *x, ptrdiff_t at, int16_t *to)
{
    if (op->x_wide)
        me_copy_halves((const int16_t *)x + at, op->c, to);
    else
        me_widen_bytes((const int8_t *)x + at, op->c, to);
}

/* What one place of the kernel sees in one window: c numbers. */
static void gather(const me_wide_conv *op, const me_wide_conv_tile *tile, int32_t window, int32_t spot)
{
    const int32_t spots = op->k_h * op->k_w, taps = spots * op->c;
    const int32_t i = window / tile->ow, j = window - i * tile->ow, r = spot / op->k_w, s = spot - r * op->k_w;
    const int32_t row = i * op->stride_h - tile->pad_top + r * op->dilation_h;
    const int32_t column = j * op->stride_w - tile->pad_left + s * op->dilation_w;
    int16_t *to = tile->scratch + window * (me_wide_conv_row(taps) / 2) + spot * op->c;
    if (row >= 0 && row < tile->h && column >= 0 && column < tile->w) {
        copy(op, tile->x, ((ptrdiff_t)row * tile->w + column) * op->c, to);
    } else {
        for (int32_t c = 0; c < op->c; c++)
            to[c] = (int16_t)op->x_zero;
    }
    if (spot == spots - 1 && taps % 2)
        to[op->c] = 0;
}

static void store(const me_wide_conv *op, const me_wide_conv_tile *tile, int32_t at, int32_t sum, const me_channel *to)
{
    const me_scale *scale = &op->scale;
    const int32_t free = me_requant(sum, scale->pre, to->mult, to->offset, to->shift);
    const int32_t q = me_min(me_max(free, scale->low), scale->high);
    if (op->y_wide)
        ((int16_t *)tile->y)[at] = (int16_t)q;
    else
        ((int8_t *)tile->y)[at] = scale->table ? me_lookup(scale->table, (int8_t)q) : (int8_t)q;
}

/* Up to four channels of up to four windows. */
static void block(const me_wide_conv *op, const me_wide_conv_tile *tile, int32_t window, int32_t channel)
{
    const int32_t taps = op->k_h * op->k_w * op->c, words = (taps + 1) / 2, row = me_wide_conv_row(taps);
    const int32_t windows = at_most(tile->oh * tile->ow - window, 4), channels = at_most(tile->k - channel, 4);
    const int16_t *x = tile->scratch + window * (row / 2), *weights = tile->weights + channel * 2 * words;
    const me_channel *to = tile->channels + channel;
    int32_t sum[16];
    for (int32_t i = 0; i < 16; i++)
        sum[i] = to[i % 4].bias;
    if (windows == 4) {
        me_sixteen_sums_h(x, row, weights, words, sum);
    } else {
        for (int32_t i = 0; i < windows; i++)
            me_four_sums_h(x + i * (row / 2), weights, words, sum + 4 * i);
    }
    for (int32_t i = 0; i < windows; i++)
        for (int32_t k = 0; k < channels; k++)
            store(op, tile, (window + i) * tile->k + channel + k, sum[4 * i + k], to + k);
}

void me_wide_conv_run(const me_wide_conv *op, const me_wide_conv_tile *tile)
{
    const int32_t spots = op->k_h * op->k_w, windows = tile->oh * tile->ow, blocks = (tile->k + 3) / 4;
    const int32_t pieces = windows * spots, units = (windows + 3) / 4 * blocks;
    for (int32_t piece = ME_FIRST(pieces); piece < ME_LAST(pieces); piece++)
        gather(op, tile, piece / spots, piece % spots);
    ME_SYNC();
    for (int32_t unit = ME_FIRST(units); unit < ME_LAST(units); unit++)
        block(op, tile, unit / blocks * 4, unit % blocks * 4);
}
