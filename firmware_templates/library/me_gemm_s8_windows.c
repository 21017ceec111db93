/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm_s8_windows.h"

#include <stddef.h>

#include "me_gemm_s8_block.h"

/* Four windows at a time. */
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
        if (n > 4 && n % 4 > 0) { /* the last four, some of them once more */
            group.from = from + (n - 4) * windows->step;
            group.to = to + (n - 4) * stride;
            me_copy_windows(&group);
        }
        if (n < 4) { /* one, four times */
            group.from_step = group.to_step = 0;
            for (int32_t i = 0; i < n; i++, group.from += windows->step, group.to += stride)
                me_copy_windows(&group);
        }
        from += windows->plane_step;
        to += bytes;
    }
}
