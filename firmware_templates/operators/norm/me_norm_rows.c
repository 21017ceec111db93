/* SPDX-License-Identifier: Apache-2.0 */
#include "me_norm_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_moments_b(const int8_t *x, int32_t words, me_moments *of)
{
    int32_t total = 0, squares = 0;
    for (int32_t i = 0; i < words; i++) {
        const uint32_t four = me_next_w(&x);
        total = me_sdotsp_b(total, four, 0x01010101u);
        squares = me_sdotsp_b(squares, four, four);
    }
    *of = (me_moments){ total, (uint32_t)squares };
}

void me_moments_h(const int16_t *x, int32_t n, int32_t halvings, me_moments *of)
{
    int32_t total = 0, squares = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t value = x[i] >> halvings;
        total += value;
        squares = me_mac(squares, value, value);
    }
    *of = (me_moments){ total, (uint32_t)squares };
}

int32_t me_reach_h(const int16_t *x, int32_t n)
{
    int32_t high = 0, low = -1;
    for (int32_t i = 0; i < n; i++) {
        high = me_max(high, x[i]);
        low = me_min(low, x[i]);
    }
    return me_max(high, -1 - low);
}

static inline int32_t normalised(int32_t x, const me_gain *pair, const me_line *line, int32_t shift)
{
    return (me_on_line(x, *line) * pair->gain + pair->offset) >> shift;
}

void me_norm_row_b(const int8_t *x, int8_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                   int32_t shift)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = me_clip8(normalised(x[i], pairs + i, line, shift));
}

void me_norm_row_h(const int16_t *x, int8_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                   int32_t shift, int32_t halvings)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = me_clip8(normalised(x[i] >> halvings, pairs + i, line, shift));
}

void me_norm_row_b_s16(const int8_t *x, int16_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                       int32_t shift)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = (int16_t)me_clips(normalised(x[i], pairs + i, line, shift), 16);
}

void me_norm_row_h_s16(const int16_t *x, int16_t *y, int32_t n, const me_gain *pairs, const me_line *line,
                       int32_t shift, int32_t halvings)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = (int16_t)me_clips(normalised(x[i] >> halvings, pairs + i, line, shift), 16);
}

#endif
