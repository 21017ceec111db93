/* SPDX-License-Identifier: Apache-2.0 */
#include "me_group_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_moments_apart(const int8_t *x, int32_t n, int32_t step, me_moments *of)
{
    int32_t total = 0, squares = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t value = x[i * step];
        total += value;
        squares = me_mac(squares, value, value);
    }
    *of = (me_moments){ total, (uint32_t)squares };
}

void me_normalise_run(const int8_t *x, int8_t *y, int32_t n, const me_group_run *run)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t normal = me_on_line(x[i * run->step], run->line);
        y[i * run->step] = me_clip((normal * run->gain + run->offset) >> run->shift, run->low, run->high);
    }
}

#endif
