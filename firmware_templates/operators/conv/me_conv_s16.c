/* SPDX-License-Identifier: Apache-2.0 */
#include "me_conv_s16.h"

#include <stddef.h>

#include "me_conv_s16_rows.h"
#include "me_math.h"
#include "me_share.h"

static void fill(int16_t **to, int32_t n, int32_t value)
{
    for (; n > 0; n--)
        *(*to)++ = (int16_t)value;
}

static void copy(const me_conv_s16_params *op, const void *x, int32_t at, int32_t n, int16_t **to)
{
    if (n > 0 && op->x_wide)
        me_copy_halves((const int16_t *)x + at, n, *to);
    else if (n > 0)
        me_widen_bytes((const int8_t *)x + at, n, *to);
    *to += n > 0 ? n : 0;
}

/* Gathers the input under one row of the kernel, starting at column `left` of x; padding for columns
 * outside x. */
static void gather_row(const me_conv_s16_params *op, const me_conv_s16_tile *tile, int32_t row, int32_t left,
                       int16_t *to)
{
    const int32_t c = op->c, step = op->dilation_w;
    const void *x = (const int8_t *)tile->x + (ptrdiff_t)row * tile->row_stride;
    if (step > 1) {
        for (int32_t s = 0, column = left; s < op->k_w; s++, column += step) {
            if (column >= 0 && column < tile->w)
                copy(op, x, column * c, c, &to);
            else
                fill(&to, c, op->x_zero);
        }
        return;
    }
    const int32_t from = me_min(left < 0 ? -left : 0, op->k_w), end = me_min(tile->w - left, op->k_w);
    const int32_t inside_end = end > from ? end : from;
    fill(&to, from * c, op->x_zero);
    copy(op, x, (left + from) * c, (inside_end - from) * c, &to);
    fill(&to, (op->k_w - inside_end) * c, op->x_zero);
}

/* Gathers row r of the kernel's taps for the window of the result at (i, j). */
static void gather(const me_conv_s16_params *op, const me_conv_s16_tile *tile, int32_t window, int32_t i,
                   int32_t j, int32_t r)
{
    const int32_t taps = op->k_h * op->k_w * op->c, in_row = op->k_w * op->c;
    const int32_t row = i * op->stride_h - tile->pad_top + r * op->dilation_h;
    int16_t *to = tile->scratch + window * (me_conv_s16_row_bytes(taps) / 2) + r * in_row;
    if (r == op->k_h - 1 && taps % 2)
        to[in_row] = 0;
    if (row >= 0 && row < tile->h)
        gather_row(op, tile, row, j * op->stride_w - tile->pad_left, to);
    else
        fill(&to, in_row, op->x_zero);
}

static void look_up(const int8_t *table, int8_t *y, int32_t windows, int32_t channels, int32_t step)
{
    for (; windows > 0; windows--, y += step)
        for (int32_t k = 0; k < channels; k++)
            y[k] = me_lookup(table, y[k]);
}

/* Requantises and stores the sums of `channels` channels of `windows` windows, at most four each. */
static void store(const me_conv_s16_params *op, const me_conv_s16_tile *tile, int32_t window, int32_t windows,
                  int32_t channel, int32_t channels, const int32_t *sum)
{
    const int32_t size = 1 + op->y_wide, at = window * tile->k + channel;
    int8_t *const y = (int8_t *)tile->y + at * size;
    me_store_sums(sum, tile->channels + channel, &op->scale, y, windows, channels, tile->k * size,
                  op->y_wide);
    if (op->scale.table)
        look_up(op->scale.table, y, windows, channels, tile->k);
}

/* Computes up to four channels of up to four windows. */
static void block(const me_conv_s16_params *op, const me_conv_s16_tile *tile, int32_t window, int32_t channel)
{
    const int32_t taps = op->k_h * op->k_w * op->c, words = (taps + 1) / 2, row = me_conv_s16_row_bytes(taps);
    const int32_t windows = me_min(tile->oh * tile->ow - window, 4), channels = me_min(tile->k - channel, 4);
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
    store(op, tile, window, windows, channel, channels, sum);
}

/* Computes a single int16 pixel in place. Cores share single channels, because blocks of four would not
 * occupy all cores. */
static void channels_of_pixel(const me_conv_s16_params *op, const me_conv_s16_tile *tile)
{
    const int32_t words = (op->c + 1) / 2, first = ME_FIRST(tile->k), end = ME_LAST(tile->k);
    int32_t sum[ME_PIXEL_CHANNELS];
    for (int32_t channel = first; channel < end; channel++) {
        const int16_t *weights = tile->weights + channel / 4 * 8 * words + channel % 4 * 2;
        sum[channel - first] = me_pixel_sum_h(tile->x, weights, op->c, tile->channels[channel].bias);
    }
    if (end > first)
        store(op, tile, 0, 1, first, end - first, sum);
}

/* Gathers all rows of windows [first, last). */
static void gather_windows(const me_conv_s16_params *op, const me_conv_s16_tile *tile, int32_t first,
                           int32_t last)
{
    int32_t i = tile->oh == 1 ? 0 : first / tile->ow, j = first - i * tile->ow;
    for (int32_t window = first; window < last; window++) {
        for (int32_t r = 0; r < op->k_h; r++)
            gather(op, tile, window, i, j, r);
        if (++j == tile->ow) {
            j = 0;
            i++;
        }
    }
}

void me_conv_s16(const me_conv_s16_params *op, const me_conv_s16_tile *tile)
{
    const int32_t windows = tile->oh * tile->ow, blocks = (tile->k + 3) / 4;
    const int32_t rows = windows * op->k_h, units = (windows + 3) / 4 * blocks;
    if (tile->in_place) {
        channels_of_pixel(op, tile);
        return;
    }
    if (op->k_h == 1 || windows >= 16)
        gather_windows(op, tile, ME_FIRST(windows), ME_LAST(windows));
    else
        for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
            const int32_t window = row / op->k_h, i = window / tile->ow;
            gather(op, tile, window, i, window - i * tile->ow, row - window * op->k_h);
        }
    ME_SYNC();
    for (int32_t unit = ME_FIRST(units); unit < ME_LAST(units); unit++)
        block(op, tile, unit / blocks * 4, unit % blocks * 4);
}
