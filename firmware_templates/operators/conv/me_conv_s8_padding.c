/* SPDX-License-Identifier: Apache-2.0 */
#include "me_conv_s8_padding.h"

#include <stddef.h>

#include "me_intrinsics.h"
#include "me_share.h"

static void fill(int8_t **to, int32_t bytes, int32_t value)
{
    const uint32_t word = me_pack_b(value, value, value, value);
    for (; bytes >= 4; bytes -= 4)
        me_put_w(to, word);
    for (; bytes > 0; bytes--)
        me_put_b(to, value);
}

static void copy(int8_t **to, const int8_t *from, int32_t bytes)
{
    for (; bytes >= 8; bytes -= 8) {
        const uint32_t one = me_next_w(&from), two = me_next_w(&from);
        me_put_w(to, one);
        me_put_w(to, two);
    }
    for (; bytes > 0; bytes--)
        me_put_b(to, me_next_b(&from));
}

/* Number of the positions at, at + step, .. (k of them) that are below `end`. */
static int32_t positions_before(int32_t at, int32_t step, int32_t k, int32_t end)
{
    int32_t count = 0;
    for (; count < k && at < end; count++)
        at += step;
    return count;
}

void me_copy_padded_window(const me_gemm_windows *windows, int32_t i, int32_t j, int8_t *to)
{
    const me_conv_s8_params *op = windows->op;
    const me_conv_s8_tile *tile = windows->tile;
    const int32_t c = op->c, step = op->dilation_w;
    const int32_t top = i * op->stride_h - tile->pad_top;
    const int32_t left = j * op->stride_w - tile->pad_left;
    const int32_t from = positions_before(left, step, op->k_w, 0);
    const int32_t end = positions_before(left, step, op->k_w, tile->w);
    for (int32_t r = 0; r < op->k_h; r++) {
        const int32_t row = top + r * op->dilation_h;
        if (row < 0 || row >= tile->h) {
            fill(&to, op->k_w * c, op->x_zero);
            continue;
        }
        const int8_t *x = tile->x + (ptrdiff_t)row * tile->row_stride;
        fill(&to, from * c, op->x_zero);
        if (step == 1)
            copy(&to, x + (left + from) * c, (end - from) * c);
        else
            for (int32_t s = from; s < end; s++)
                copy(&to, x + (left + s * step) * c, c);
        fill(&to, (op->k_w - end) * c, op->x_zero);
    }
}

void me_copy_padded_rows(const me_conv_s8_params *op, const me_conv_s8_tile *tile, int32_t rows,
                         int32_t columns)
{
    const int32_t c = op->c, left = me_min(tile->pad_left, columns);
    const int32_t middle = me_min(tile->w, columns - left);
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t from = row - tile->pad_top;
        int8_t *to = tile->padded + row * columns * c;
        if (from < 0 || from >= tile->h) {
            fill(&to, columns * c, op->x_zero);
            continue;
        }
        fill(&to, left * c, op->x_zero);
        copy(&to, tile->x + (ptrdiff_t)from * tile->row_stride, middle * c);
        fill(&to, (columns - left - middle) * c, op->x_zero);
    }
    ME_SYNC();
}

/* Index of the first window that starts inside the input; windows are `stride` apart, the first one starts
 * `pad` before it. */
static int32_t first_inside(int32_t pad, int32_t stride)
{
    return pad <= 0 ? 0 : (pad + stride - 1) / stride;
}

/* Index after the last of n windows that ends inside `extent`. */
static int32_t end_inside(int32_t pad, int32_t stride, int32_t reach, int32_t extent, int32_t n)
{
    const int32_t left = extent + pad - reach;
    return left < 0 ? 0 : me_min(left / stride + 1, n);
}

void me_find_inside(me_gemm_windows *windows)
{
    const me_conv_s8_params *op = windows->op;
    const me_conv_s8_tile *tile = windows->tile;
    const int32_t reach_h = me_conv_span(1, op->k_h, 1, op->dilation_h);
    const int32_t reach_w = me_conv_span(1, op->k_w, 1, op->dilation_w);
    windows->first_row = first_inside(tile->pad_top, op->stride_h);
    windows->end_row = end_inside(tile->pad_top, op->stride_h, reach_h, tile->h, tile->oh);
    windows->first = first_inside(tile->pad_left, op->stride_w);
    windows->end = end_inside(tile->pad_left, op->stride_w, reach_w, tile->w, tile->ow);
}
