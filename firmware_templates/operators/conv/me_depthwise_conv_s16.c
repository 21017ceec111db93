/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise_conv_s16.h"

#include <stdbool.h>

#include "me_depthwise_s16_rows.h"
#include "me_math.h"
#include "me_share.h"

typedef struct {
    int32_t rows, columns, pixel; /* of the copy; pixel: int16 values to the next pixel, even */
} me_copied;

static me_copied size_padded_copy(const me_depthwise_conv_s16_params *op,
                                  const me_depthwise_conv_s16_tile *tile)
{
    const int32_t rows = (tile->oh - 1) * op->stride_h + (op->k_h - 1) * op->dilation_h + 1;
    const int32_t columns = (tile->ow - 1) * op->stride_w + (op->k_w - 1) * op->dilation_w + 1;
    return (me_copied){ rows, columns, me_depthwise_s16_pixel(tile->k) };
}

static void fill(int16_t *to, int32_t n, int32_t value)
{
    for (; n > 0; n--)
        *to++ = (int16_t)value;
}

/* Converts n pixels of x to int16. */
static void copy_pixels(const me_depthwise_conv_s16_params *op, const me_depthwise_conv_s16_tile *tile,
                        int32_t from, int32_t n, int16_t *to, int32_t pixel)
{
    const int32_t k = tile->k, size = pixel == k ? n * k : k;
    for (int32_t i = 0, at = from * k; i < (pixel == k ? 1 : n); i++, at += k, to += pixel)
        me_copy_to_halves((const int8_t *)tile->x + (op->x_wide ? 2 * at : at), size, to, op->x_wide);
}

/* Fills columns [first, last) of one row of the padded copy. */
static void copy_row(const me_depthwise_conv_s16_params *op, const me_depthwise_conv_s16_tile *tile,
                     const me_copied *copied, int32_t row, int32_t first, int32_t last)
{
    const int32_t y = row - tile->pad_top, pixel = copied->pixel;
    const bool outside = y < 0 || y >= tile->h;
    const int32_t start = outside ? last : me_min(me_max(tile->pad_left, first), last);
    const int32_t stop = me_max(me_min(tile->pad_left + tile->w, last), start);
    int16_t *to = tile->scratch + row * copied->columns * pixel;
    fill(to + first * pixel, (start - first) * pixel, op->x_zero);
    if (stop > start)
        copy_pixels(op, tile, y * tile->w + start - tile->pad_left, stop - start, to + start * pixel, pixel);
    fill(to + stop * pixel, (last - stop) * pixel, op->x_zero);
}

/* Requantises and stores n pixels of one or two channels. */
static void look_up(const int8_t *table, int8_t *y, int32_t n, int32_t step, bool two)
{
    for (; n > 0; n--, y += step) {
        y[0] = me_lookup(table, y[0]);
        if (two)
            y[1] = me_lookup(table, y[1]);
    }
}

/* Computes one row of results for two channels, or for the last one. */
static void sum_row(const me_depthwise_conv_s16_params *op, const me_depthwise_conv_s16_tile *tile,
                    const me_copied *copied, int32_t row, int32_t channel)
{
    const int32_t size = 1 + op->y_wide, at = row * tile->ow * tile->k + channel;
    me_depthwise_row r;
    r.x = tile->scratch + row * op->stride_h * copied->columns * copied->pixel + channel;
    r.weights = tile->weights + channel * op->k_h * op->k_w;
    r.channels = tile->channels + channel;
    r.y = (int8_t *)tile->y + at * size;
    r.n = tile->ow;
    r.k_h = op->k_h;
    r.k_w = op->k_w;
    r.tap_step = 2 * op->dilation_w * copied->pixel;
    r.row_step = 2 * op->dilation_h * copied->columns * copied->pixel - op->k_w * r.tap_step;
    r.x_step = 2 * op->stride_w * copied->pixel;
    r.y_step = tile->k * size;
    r.y_wide = op->y_wide;
    r.two = channel + 1 < tile->k;
    r.scale = op->scale;
    me_depthwise_sums_h(&r);
    if (op->scale.table)
        look_up(op->scale.table, r.y, tile->ow, tile->k, r.two);
}

void me_depthwise_conv_s16(const me_depthwise_conv_s16_params *op, const me_depthwise_conv_s16_tile *tile)
{
    const me_copied copied = size_padded_copy(op, tile);
    const int32_t pixels = copied.rows * copied.columns, end = ME_LAST(pixels), pairs = (tile->k + 1) / 2;
    for (int32_t at = ME_FIRST(pixels); at < end;) {
        const int32_t row = at / copied.columns, first = at - row * copied.columns;
        const int32_t last = me_min(copied.columns, first + end - at);
        copy_row(op, tile, &copied, row, first, last);
        at += last - first;
    }
    ME_SYNC();
    for (int32_t unit = ME_FIRST(pairs * tile->oh); unit < ME_LAST(pairs * tile->oh); unit++)
        sum_row(op, tile, &copied, unit / pairs, unit % pairs * 2);
}
