/* SPDX-License-Identifier: Apache-2.0
 * Windows of an input in L1, one for each pixel of a result, and functions that read them on one core.
 */
#ifndef ME_GEMM_S8_WINDOWS_H
#define ME_GEMM_S8_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "me_gemm.h"

typedef struct me_gemm_windows me_gemm_windows;

/* Copies the window at (row, column), which crosses an edge of the input. */
typedef void me_padded_window(const me_gemm_windows *windows, int32_t row, int32_t column, int8_t *to);

/* Window (i, j) starts at x + i * row_step + j * step. It has `planes` planes, plane_step bytes apart, of
 * `pieces` pieces of `piece` bytes with `skip` bytes between them: `taps` bytes in total.
 *   pixels, columns         number of windows, and of windows per row
 *   first_row .. end        windows with first_row <= i < end_row and first <= j < end are inside x
 *   x_step                  bytes between the words of a window that is read in place
 *   in_place                all windows are read in place; otherwise only those of one piece of whole
 *                           words, and the others are copied to scratch
 *   in_step                 in_place, and consecutive windows are `step` bytes apart across rows too
 *   padded, op, tile        copies a window that crosses an edge, and its arguments */
struct me_gemm_windows {
    const int8_t *x;
    int32_t pixels, columns, row_step, step;
    int32_t first_row, end_row, first, end;
    int32_t piece, pieces, skip, planes, plane_step;
    int32_t taps, x_step;
    bool in_place, in_step;
    me_padded_window *padded;
    const me_conv_s8_params *op;
    const me_conv_s8_tile *tile;
};

typedef struct {
    int32_t row, column;
} me_pixel;

static inline me_pixel me_pixel_of(const me_gemm_windows *windows, int32_t number)
{
    const int32_t row = number < windows->columns ? 0 : number / windows->columns;
    return (me_pixel){ .row = row, .column = number - row * windows->columns };
}

/* Whether every window is one contiguous piece of whole words, at a multiple of 4. */
static inline bool me_windows_in_words(const me_gemm_windows *windows)
{
    const uint32_t places = (uint32_t)windows->step | (uint32_t)windows->row_step | (uint32_t)windows->taps;
    return windows->pieces * windows->planes == 1 && ((places | (uint32_t)(uintptr_t)windows->x) & 3) == 0;
}

/* Windows of `taps` bytes, `step` bytes apart: the rows of a matrix. */
static inline me_gemm_windows me_gemm_rows(const int8_t *x, int32_t rows, int32_t step, int32_t taps)
{
    me_gemm_windows windows = {
        .x = x,
        .pixels = rows,
        .columns = rows,
        .row_step = 0,
        .step = step,
        .first_row = 0,
        .end_row = 1,
        .first = 0,
        .end = rows,
        .piece = taps,
        .pieces = 1,
        .skip = 0,
        .planes = 1,
        .plane_step = 0,
        .taps = taps,
        .x_step = 4,
        .in_place = false,
        .in_step = false,
        .padded = 0,
        .op = 0,
        .tile = 0,
    };
    windows.in_place = windows.in_step = me_windows_in_words(&windows);
    return windows;
}

/* -> the number of windows, starting with `pixel`, that are copied in one call, at most `most`: those of
 * its row that are inside x, or 1 if the window crosses an edge */
static inline int32_t me_windows_per_copy(const me_gemm_windows *windows, me_pixel pixel, int32_t most,
                                          bool *inside)
{
    *inside = pixel.row >= windows->first_row && pixel.row < windows->end_row
        && pixel.column >= windows->first && pixel.column < windows->end;
    const int32_t left = windows->end - pixel.column;
    return !*inside ? 1 : most < left ? most : left;
}

/* Copies n windows of one row, all inside x and the first starting at `from`, into rows of
 * me_gemm_row_stride(taps) bytes. */
void me_copy_windows_of_row(const me_gemm_windows *windows, const int8_t *from, int8_t *to, int32_t n);

/* Sets x[0 .. count-1] to the addresses of the next `count` windows, in place or copied to scratch, and
 * advances `pixel`. */
void me_gather(const me_gemm_windows *windows, me_pixel *pixel, int32_t count, int8_t *scratch,
               const int8_t **x);

/* Sets x[0 .. count-1] to the addresses of equally spaced windows, starting with window `pixel`. */
void me_windows_in_step(const me_gemm_windows *windows, int32_t pixel, int32_t count, const int8_t **x);

#endif
