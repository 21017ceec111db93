/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include <stddef.h>

#include "me_gemm_s8.h"
#include "me_gemm_s8_windows.h"
#include "me_intrinsics.h"
#include "me_share.h"

/* Stacks are small: functions whose frames are not needed while blocks are computed are not inlined. */
#define ME_NOINLINE __attribute__((noinline))

/* ---- windows that reach over an edge of the input, filled with the value of padding */

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

/* How many of k positions, `step` apart from `at` on, are before `end`. */
static int32_t positions_before(int32_t at, int32_t step, int32_t k, int32_t end)
{
    int32_t count = 0;
    for (; count < k && at < end; count++)
        at += step;
    return count;
}

/* Copies window (i, j) of a convolution: bytes that are in x, x_zero for the others. */
static ME_NOINLINE void copy_padded_window(const me_gemm_windows *windows, int32_t i, int32_t j, int8_t *to)
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

/* Copies so many rows and columns of x with their padding to tile->padded, by all cores; a barrier is
 * at the end. */
static ME_NOINLINE void copy_padded_rows(const me_conv_s8_params *op, const me_conv_s8_tile *tile,
                                         int32_t rows, int32_t columns)
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

/* The first of windows `stride` apart that begins inside, `pad` being outside before it. */
static int32_t first_inside(int32_t pad, int32_t stride)
{
    return pad <= 0 ? 0 : (pad + stride - 1) / stride;
}

/* One past the last of n windows that ends inside `extent`. */
static int32_t end_inside(int32_t pad, int32_t stride, int32_t reach, int32_t extent, int32_t n)
{
    const int32_t left = extent + pad - reach;
    return left < 0 ? 0 : me_min(left / stride + 1, n);
}

/* Sets which windows are inside x. */
static ME_NOINLINE void find_inside(me_gemm_windows *windows)
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

/* ---- windows */

static bool rows_in_one_piece(const me_conv_s8_params *op) { return op->dilation_w == 1 || op->k_w == 1; }

/* Windows of x, as if all of them lay inside. */
static inline me_gemm_windows windows_of(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    const bool dense = rows_in_one_piece(op);
    const int32_t rows_apart = op->dilation_h * tile->row_stride, piece = dense ? op->k_w * op->c : op->c;
    return (me_gemm_windows){
        .x = tile->x - tile->pad_top * tile->row_stride - tile->pad_left * op->c,
        .pixels = tile->oh * tile->ow,
        .columns = tile->ow,
        .row_step = op->stride_h * tile->row_stride,
        .step = op->stride_w * op->c,
        .first_row = 0,
        .end_row = tile->oh,
        .first = 0,
        .end = tile->ow,
        .piece = piece,
        .pieces = dense ? op->k_h : op->k_w,
        .skip = (dense ? rows_apart : op->dilation_w * op->c) - piece,
        .planes = dense ? 1 : op->k_h,
        .plane_step = rows_apart,
        .taps = op->k_h * op->k_w * op->c,
        .x_step = 4,
        .in_place = false,
        .in_step = false,
        .padded = copy_padded_window,
        .op = op,
        .tile = tile,
    };
}

static bool lies_inside(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    return tile->pad_top <= 0 && tile->pad_left <= 0
        && me_conv_span(tile->oh, op->k_h, op->stride_h, op->dilation_h) <= tile->h + tile->pad_top
        && me_conv_span(tile->ow, op->k_w, op->stride_w, op->dilation_w) <= tile->w + tile->pad_left;
}

/* Reads windows from tile->padded, which all cores fill: all are inside it. */
static ME_NOINLINE void read_padded(me_gemm *gemm)
{
    me_gemm_windows *windows = &gemm->windows;
    const me_conv_s8_params *op = windows->op;
    const me_conv_s8_tile *tile = windows->tile;
    const int32_t columns = me_conv_span(tile->ow, op->k_w, op->stride_w, op->dilation_w);
    const int32_t row = columns * op->c, rows_apart = op->dilation_h * row;
    me_gemm_prepare(gemm);
    copy_padded_rows(op, tile, me_conv_span(tile->oh, op->k_h, op->stride_h, op->dilation_h), columns);
    windows->x = tile->padded;
    windows->row_step = op->stride_h * row;
    windows->plane_step = rows_apart;
    if (rows_in_one_piece(op))
        windows->skip = rows_apart - windows->piece;
    windows->in_place = op->in_place;
    if (op->narrow) {
        windows->in_place = true;
        windows->x_step = rows_apart;
        windows->taps = 4 * op->k_h;
        windows->pieces = 1;
    }
}

/* ---- windows of many taps, gathered once by all cores */

static ME_NOINLINE void gather_together(me_gemm *gemm)
{
    const me_gemm_windows *windows = &gemm->windows;
    me_gemm_prepare(gemm);
    const int32_t stride = me_gemm_row_stride(windows->taps), last = ME_LAST(windows->pixels);
    int8_t *rows = gemm->scratch;
    for (int32_t number = ME_FIRST(windows->pixels); number < last;) {
        const me_pixel at = me_pixel_of(windows, number);
        bool inside;
        const int32_t n = me_windows_alike(windows, at, last - number, &inside);
        int8_t *to = rows + (ptrdiff_t)number * stride;
        if (inside)
            me_copy_windows_of_row(windows,
                                   windows->x + (ptrdiff_t)at.row * windows->row_step
                                       + (ptrdiff_t)at.column * windows->step,
                                   to, n);
        else
            copy_padded_window(windows, at.row, at.column, to);
        number += n;
    }
    ME_SYNC();
    gemm->windows = me_gemm_rows(rows, windows->pixels, stride, me_gemm_row_bytes(windows->taps));
}

/* Pixels of a block, 2 or 1, where blocks of 4 leave cores without work; otherwise 0. */
static ME_NOINLINE int32_t small_block(int32_t pixels, int32_t k)
{
    const int32_t blocks = (k + 3) / 4, groups = (pixels + 3) / 4;
    int32_t least = 24 * ((groups * blocks + 7) / 8), found = 0;
    for (int32_t size = 2; size > 0; size--) {
        const int32_t cycles = (5 * size + 4) * ((pixels / size * blocks + 7) / 8);
        if (pixels % size == 0 && cycles < least) {
            least = cycles;
            found = size;
        }
    }
    return found;
}

static ME_NOINLINE void run_together(me_gemm *gemm)
{
    gather_together(gemm);
    const int32_t size = small_block(gemm->windows.pixels, gemm->results.k);
    if (size > 0)
        me_gemm_s8_small_blocks(gemm, size);
    else
        me_gemm_s8(gemm);
}

void me_conv_s8(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    me_gemm gemm = {
        .windows = windows_of(op, tile),
        .results = {
            .k = tile->k, .y_stride = tile->y_stride, .weights = tile->weights, .channels = tile->channels,
            .y = tile->y, .scale = &op->scale,
        },
        .b_zero = 0, .cores = ME_KERNEL_CORES(0), .kernel_waits = tile->kernel_waits,
        .prepare = me_gemm_waits(tile->kernel_waits), .scratch = tile->scratch, .op = 0, .tile = 0,
    };
    me_gemm_windows *windows = &gemm.windows;
    const bool inside = lies_inside(op, tile);
    if (tile->padded && (op->narrow || op->in_place || !inside))
        read_padded(&gemm);
    else if (inside && !op->together) {
        windows->in_place = op->in_place || me_windows_in_words(windows);
        windows->in_step = windows->in_place && windows->row_step == windows->columns * windows->step;
    } else if (!inside)
        find_inside(windows);
    if (op->together)
        run_together(&gemm);
    else
        me_gemm_s8(&gemm);
}
