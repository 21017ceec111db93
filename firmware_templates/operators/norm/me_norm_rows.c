/* SPDX-License-Identifier: Apache-2.0 */
#include "me_norm_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

static inline int32_t normalise(int32_t x, const me_gain *pair, const me_line *line, int32_t shift)
{
    return (me_on_line(x, *line) * pair->gain + pair->offset) >> shift;
}

#define ME_NORM_ROW(NAME, X, Y, BITS, HALVINGS, ...) \
    void NAME(const void *of_x, void *of_y, int32_t n, const void *of_pairs, const me_line *line, \
              int32_t shift __VA_ARGS__) \
    { \
        const X *x = of_x; \
        const me_gain *pairs = of_pairs; \
        Y *y = of_y; \
        for (int32_t i = 0; i < n; i++) \
            y[i] = (Y)me_clips(normalise(x[i] >> (HALVINGS), pairs + i, line, shift), BITS); \
    }

#define ME_AND_HALVINGS , int32_t halvings
ME_NORM_ROW(me_norm_row_b, int8_t, int8_t, 8, 0, )
ME_NORM_ROW(me_norm_row_b_s16, int8_t, int16_t, 16, 0, )
ME_NORM_ROW(me_norm_row_h, int16_t, int8_t, 8, halvings, ME_AND_HALVINGS)
ME_NORM_ROW(me_norm_row_h_s16, int16_t, int16_t, 16, halvings, ME_AND_HALVINGS)

#endif
