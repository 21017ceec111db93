/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm_s8_windows.h"

#include <stddef.h>

#include "me_gemm_s8_block.h"

/* windows per call of the copy kernel */
void me_copy_windows_of_row(const me_gemm_windows *windows, const int8_t *from, int8_t *to, int32_t n)
{
    const int32_t stride = me_gemm_row_stride(windows->taps), bytes = windows->pieces * windows->piece;
    me_windows group = {
        .from = from,
        .from_step = windows->step,
        .to = to,
        .to_step = stride,
        .pieces = windows->pieces,
        .words = windows->piece / 4,
        .rest = windows->piece % 4,
        .skip = windows->skip,
        .groups = 1,
        .from_next = 4 * windows->step - bytes - windows->pieces * windows->skip,
        .to_next = 4 * stride - bytes,
    };
    for (int32_t plane = 0; plane < windows->planes; plane++) {
        group.from = from;
        group.to = to;
        if (n >= 4) {
            group.groups = n / 4;
            me_copy_windows(&group);
        }
        group.groups = 1;
        if (n > 4 && n % 4 > 0) { /* the last group of four overlaps the one before */
            group.from = from + (n - 4) * windows->step;
            group.to = to + (n - 4) * stride;
            me_copy_windows(&group);
        }
        if (n < 4) { /* fewer than four: copy each window four times */
            group.from_step = group.to_step = 0;
            for (int32_t i = 0; i < n; i++, group.from += windows->step, group.to += stride)
                me_copy_windows(&group);
        }
        from += windows->plane_step;
        to += bytes;
    }
}

void me_gather(const me_gemm_windows *windows, me_pixel *pixel, int32_t count, int8_t *scratch,
               const int8_t **x)
{
    const int32_t stride = me_gemm_row_stride(windows->taps);
    const bool whole = windows->pieces * windows->planes == 1 && windows->taps % 4 == 0;
    me_pixel at = *pixel;
    while (count > 0) {
        const int8_t *from =
            windows->x + (ptrdiff_t)at.row * windows->row_step + (ptrdiff_t)at.column * windows->step;
        bool inside;
        const int32_t n = me_windows_per_copy(windows, at, count, &inside);
        int32_t step = stride;
        if (windows->in_place
            || (inside && whole && (((uintptr_t)from | (uint32_t)windows->step) & 3) == 0)) {
            step = windows->step;
        } else {
            if (inside)
                me_copy_windows_of_row(windows, from, scratch, n);
            else
                windows->padded(windows, at.row, at.column, scratch);
            from = scratch;
            scratch += n * stride;
        }
        for (int32_t left = n; left >= 4; left -= 4, x += 4) {
            x[0] = from;
            x[1] = from += step;
            x[2] = from += step;
            x[3] = from += step;
            from += step;
        }
        for (int32_t left = n % 4; left > 0; left--, from += step)
            *x++ = from;
        count -= n;
        at.column += n;
        if (at.column == windows->columns) {
            at.column = 0;
            at.row++;
        }
    }
    *pixel = at;
}

void me_windows_in_step(const me_gemm_windows *windows, int32_t pixel, int32_t count, const int8_t **x)
{
    const int8_t *from = windows->x + (ptrdiff_t)pixel * windows->step;
    for (; count > 0; count--, from += windows->step)
        *x++ = from;
}
