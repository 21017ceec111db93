/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_arrange.h"

#include <stddef.h>

#include "me_layout_rows.h"
#include "me_math.h"
#include "me_ne16_jobs.h"
#include "me_share.h"
#include "me_unsigned.h"

static uint8_t *fill(uint8_t *to, int32_t bytes, uint32_t word)
{
    if (bytes >= 4)
        me_fill_words((int8_t *)to, word, bytes / 4);
    for (int32_t i = bytes & ~3; i < bytes; i++)
        to[i] = (uint8_t)(word >> 8 * (i & 1));
    return to + bytes;
}

/* -> a word of padding, converted to unsigned */
static uint32_t padding_of(const me_conv_s8_params *op, int32_t wide)
{
    if (wide)
        return (uint16_t)op->x_zero * 0x00010001u ^ ME_HALVES_TO_UNSIGNED;
    return (uint8_t)op->x_zero * 0x01010101u ^ ME_TO_UNSIGNED;
}

/* Copies columns [first, end) of a row, from x (whose column stride is in `area`) or from the padding
 * around it. */
static void write_columns(const me_conv_s8_params *op, const me_conv_s8_tile *tile, const me_ne16_area *area,
                          int32_t row, int32_t first, int32_t end, uint8_t *to)
{
    const int32_t c = op->c, from = first < 0 ? 0 : first, inside = me_min(end, tile->w) - from;
    const uint32_t padding = padding_of(op, area->wide);
    if (row < 0 || row >= tile->h || inside <= 0) {
        fill(to, (end - first) * c, padding);
        return;
    }
    const int8_t *x = tile->x + (ptrdiff_t)row * tile->row_stride + from * area->column_bytes;
    to = fill(to, (from - first) * c, padding);
    const int32_t pieces = area->column_bytes == c ? 1 : inside;
    me_xor_pieces(x, to, pieces, pieces == 1 ? inside * c : c, area->column_bytes, c,
                  area->wide ? ME_HALVES_TO_UNSIGNED : ME_TO_UNSIGNED);
    fill(to + inside * c, (end - from - inside) * c, padding);
}

void me_ne16_write_area(const me_conv_s8_params *op, const me_conv_s8_tile *tile, const me_ne16_area *area,
                        int32_t row_bytes, uint8_t *image)
{
    const int32_t columns = area->end_column - area->first_column;
    const int32_t n = (area->end_row - area->first_row) * columns, last = ME_LAST_OF_7(n);
    int32_t i = ME_FIRST_OF_7(n), row = i / columns, column = i - row * columns;
    for (int32_t count; i < last; i += count, row++, column = 0) {
        const int32_t at_row = area->first_row + row, at = area->first_column + column;
        count = me_min(columns - column, last - i);
        write_columns(op, tile, area, at_row - tile->pad_top, at - tile->pad_left,
                      at - tile->pad_left + count, image + (ptrdiff_t)at_row * row_bytes + at * op->c);
    }
}

/* Copies n runs of `columns` columns of a row, stride_w columns apart: one tap, or one row of taps, of n
 * windows; includes padding. Runs without padding are copied in one call. */
static void write_runs(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t row, int32_t column,
                       int32_t columns, int32_t n, uint8_t *to)
{
    const int32_t c = op->c, step = op->stride_w, window = op->k_h * op->k_w * c;
    const me_ne16_area of_x = { 0, 0, 0, 0, c, 0 };
    int32_t before = 0, inside = row >= 0 && row < tile->h ? n : 0;
    for (; inside > 0 && column + before * step < 0; inside--)
        before++;
    while (inside > 0 && column + (before + inside - 1) * step + columns > tile->w)
        inside--;
    if (inside > 0)
        me_xor_pieces(tile->x + (ptrdiff_t)row * tile->row_stride + (column + before * step) * c,
                      to + before * window, inside, columns * c, step * c, window, ME_TO_UNSIGNED);
    for (int32_t i = before > 0 ? 0 : inside; i < n; i = i + 1 == before ? before + inside : i + 1)
        write_columns(op, tile, &of_x, row, column + i * step, column + i * step + columns, to + i * window);
}

/* Copies row r of the taps of n windows of one row of results. */
static void write_taps(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t row, int32_t column,
                       int32_t r, int32_t n, uint8_t *to)
{
    const int32_t in_one = op->dilation_w == 1, runs = in_one ? 1 : op->k_w, columns = in_one ? op->k_w : 1;
    const int32_t x_row = row * op->stride_h + r * op->dilation_h - tile->pad_top;
    const int32_t x_column = column * op->stride_w - tile->pad_left;
    for (int32_t s = 0; s < runs; s++)
        write_runs(op, tile, x_row, x_column + s * op->dilation_w, columns, n,
                   to + (r * op->k_w + s) * op->c);
}

/* Copies the windows of results [first, end) from the input with its padding, without an intermediate image: a core
 * copies some rows of taps of some windows, because there may be fewer windows than cores. */
static void write_padded_windows(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t first,
                                 int32_t end, uint8_t *windows)
{
    const int32_t count = end - first, window = op->k_h * op->k_w * op->c,
                  last = ME_LAST_OF_7(op->k_h * count);
    int32_t i = ME_FIRST_OF_7(op->k_h * count), r = i / count, at = first + i - r * count;
    for (int32_t n; i < last; i += n, at += n) {
        if (at == end) {
            at = first;
            r++;
        }
        const int32_t row = at / tile->ow, column = at - row * tile->ow;
        n = me_min(me_min(tile->ow - column, last - i), end - at);
        write_taps(op, tile, row, column, r, n, windows + (ptrdiff_t)at * window);
    }
}

/* The input with its padding. word: ME_TO_UNSIGNED, or 0 if bytes are unsigned already. */
typedef struct {
    const void *bytes;
    int32_t row_bytes;
    uint32_t word;
} padded_image;

/* Copies n windows of a row of results, the first starting at the given position: one row of taps of all
 * windows per call or, if kernels have several rows, one window per call. */
static void write_row(const me_conv_s8_params *op, const padded_image *image, const uint8_t *from, int32_t n,
                      uint8_t *to)
{
    const int32_t in_one = op->dilation_w == 1, runs = in_one ? 1 : op->k_w, taps = op->k_h * op->k_w * op->c;
    const int32_t run = in_one ? op->k_w * op->c : op->c;
    if (in_one && op->k_h > n) {
        for (int32_t i = 0; i < n; i++, from += op->stride_w * op->c, to += taps)
            me_xor_pieces(from, to, op->k_h, run, op->dilation_h * image->row_bytes, run, image->word);
        return;
    }
    for (int32_t r = 0; r < op->k_h; r++, from += op->dilation_h * image->row_bytes)
        for (int32_t s = 0; s < runs; s++, to += run)
            me_xor_pieces(from + s * op->dilation_w * op->c, to, n, run, op->stride_w * op->c, taps,
                          image->word);
}

/* Writes the windows of results [first, end), ow per row of results, to their places in `windows`. */
static void write_windows(const me_conv_s8_params *op, const padded_image *image, int32_t ow, int32_t first,
                          int32_t end, uint8_t *windows)
{
    const uint8_t *bytes = image->bytes;
    const int32_t last = first + ME_LAST_OF_7(end - first), taps = op->k_h * op->k_w * op->c;
    int32_t i = first + ME_FIRST_OF_7(end - first), row = i / ow, column = i - row * ow;
    for (int32_t n; i < last; i += n, row++, column = 0) {
        const int32_t at = row * op->stride_h * image->row_bytes + column * op->stride_w * op->c;
        n = me_min(ow - column, last - i);
        write_row(op, image, bytes + at, n, windows + (ptrdiff_t)i * taps);
    }
}

/* Number of input rows or columns that the first n result rows or columns span. */
static int32_t span(int32_t n, int32_t kernel, int32_t stride, int32_t dilation)
{
    return n > 0 ? me_conv_span(n, kernel, stride, dilation) : 0;
}

/* Rows [first, end) of results: the rows of the padded input that rows before `first` did not need. */
static me_ne16_area rows_of(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t first,
                            int32_t end)
{
    const int32_t k_h = op->k_h, stride = op->stride_h, dilation = op->dilation_h;
    return (me_ne16_area){ span(first, k_h, stride, dilation),
                           span(end, k_h, stride, dilation),
                           0,
                           me_ne16_padded_columns(op, tile),
                           op->c,
                           0 };
}

void me_ne16_pad(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range)
{
    const int32_t first = range->prepared, end = range[1].prepared;
    uint8_t *const scratch = (uint8_t *)tile->conv.padded;
    const me_conv_s8_params *conv = &op->conv;
    if (op->form & ME_NE16_RUN) {
        const int32_t k_w = conv->k_w, stride = conv->stride_w, dilation = conv->dilation_w;
        const me_ne16_area area = {
            0, 1, span(first, k_w, stride, dilation), span(end, k_w, stride, dilation), conv->c, 0
        };
        me_ne16_write_area(conv, &tile->conv, &area, 0, scratch);
        return;
    }
    me_ne16_area area = rows_of(conv, &tile->conv, first, end);
    area.wide = (op->form & ME_NE16_X_WIDE) != 0;
    if (op->form & ME_NE16_TURNED)
        area.column_bytes = tile->x_column;
    me_ne16_write_area(conv, &tile->conv, &area, area.end_column * conv->c, scratch);
}

void me_ne16_copy_windows(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *of,
                          const me_ne16_range *range)
{
    const int32_t first = range->prepared, end = range[1].prepared;
    const me_conv_s8_tile *tile = &of->conv;
    uint8_t *const scratch = (uint8_t *)tile->padded;
    const me_conv_s8_params *conv = &op->conv;
    const int32_t ow = tile->ow;
    const me_ne16_area whole = rows_of(conv, tile, 0, tile->oh);
    const int padded =
        tile->pad_top > 0 || tile->pad_left > 0 || whole.end_row > tile->h || whole.end_column > tile->w;
    padded_image image = { tile->x, tile->row_stride, ME_TO_UNSIGNED };
    if (padded && !(op->form & ME_NE16_COPIES)) {
        write_padded_windows(conv, tile, first, end, scratch);
        return;
    }
    if (padded) {
        const int32_t columns = whole.end_column;
        uint8_t *copy = scratch + me_gemm_row_bytes(tile->oh * ow * op->step);
        const me_ne16_area area = rows_of(conv, tile, (first + ow - 1) / ow, (end + ow - 1) / ow);
        me_ne16_write_area(conv, tile, &area, columns * conv->c, copy);
        ME_SYNC();
        image = (padded_image){ copy, columns * conv->c, 0 };
    }
    write_windows(conv, &image, ow, first, end, scratch);
}
