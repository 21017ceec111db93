/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include <stddef.h>

#include "me_conv_s8_padding.h"
#include "me_gemm_s8.h"
#include "me_share.h"

/* Stacks are small: functions that do not run during the block computation are not inlined, so that their
 * frames do not add up. */
#define ME_NOINLINE __attribute__((noinline))

/* ---- windows */

static bool rows_are_contiguous(const me_conv_s8_params *op) { return op->dilation_w == 1 || op->k_w == 1; }

/* Geometry of the windows of x, as if all of them were inside x. */
static inline me_gemm_windows windows_of(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    const bool dense = rows_are_contiguous(op);
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
        .padded = me_copy_padded_window,
        .op = op,
        .tile = tile,
    };
}

static bool has_no_padding(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    return tile->pad_top <= 0 && tile->pad_left <= 0
        && me_conv_span(tile->oh, op->k_h, op->stride_h, op->dilation_h) <= tile->h + tile->pad_top
        && me_conv_span(tile->ow, op->k_w, op->stride_w, op->dilation_w) <= tile->w + tile->pad_left;
}

/* Geometry of windows in tile->padded, which all cores fill: all windows are inside it. */
static ME_NOINLINE void read_padded(me_gemm *gemm)
{
    me_gemm_windows *windows = &gemm->windows;
    const me_conv_s8_params *op = windows->op;
    const me_conv_s8_tile *tile = windows->tile;
    const int32_t columns = me_conv_span(tile->ow, op->k_w, op->stride_w, op->dilation_w);
    const int32_t row = columns * op->c, rows_apart = op->dilation_h * row;
    me_gemm_prepare(gemm);
    me_copy_padded_rows(op, tile, me_conv_span(tile->oh, op->k_h, op->stride_h, op->dilation_h), columns);
    windows->x = tile->padded;
    windows->row_step = op->stride_h * row;
    windows->plane_step = rows_apart;
    if (rows_are_contiguous(op))
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

static ME_NOINLINE void gather_all_windows(me_gemm *gemm)
{
    const me_gemm_windows *windows = &gemm->windows;
    me_gemm_prepare(gemm);
    const int32_t stride = me_gemm_row_stride(windows->taps), last = ME_LAST(windows->pixels);
    int8_t *rows = gemm->scratch;
    for (int32_t number = ME_FIRST(windows->pixels); number < last;) {
        const me_pixel at = me_pixel_of(windows, number);
        bool inside;
        const int32_t n = me_windows_per_copy(windows, at, last - number, &inside);
        int8_t *to = rows + (ptrdiff_t)number * stride;
        if (inside)
            me_copy_windows_of_row(windows,
                                   windows->x + (ptrdiff_t)at.row * windows->row_step
                                       + (ptrdiff_t)at.column * windows->step,
                                   to, n);
        else
            me_copy_padded_window(windows, at.row, at.column, to);
        number += n;
    }
    ME_SYNC();
    gemm->windows = me_gemm_rows(rows, windows->pixels, stride, me_gemm_row_bytes(windows->taps));
}

/* Pixels per block, 2 or 1, if blocks of 4 would leave cores without work; otherwise 0. */
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

static ME_NOINLINE void run_gathered(me_gemm *gemm)
{
    gather_all_windows(gemm);
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
    const bool inside = has_no_padding(op, tile);
    if (tile->padded && (op->narrow || op->in_place || !inside))
        read_padded(&gemm);
    else if (inside && !op->together) {
        windows->in_place = op->in_place || me_windows_in_words(windows);
        windows->in_step = windows->in_place && windows->row_step == windows->columns * windows->step;
    } else if (!inside)
        me_find_inside(windows);
    if (op->together)
        run_gathered(&gemm);
    else
        me_gemm_s8(&gemm);
}
