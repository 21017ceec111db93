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
    *of = (me_moments){ total, squares };
}

static inline int32_t normalise(int32_t x, const me_group_run *run)
{
    const int32_t y = (me_on_line(x, run->line) * run->gain + run->offset) >> run->shift;
    return me_min(me_max(y, run->low), run->high);
}

void me_normalise_run(const int8_t *x, int8_t *y, int32_t n, const me_group_run *run)
{
    for (int32_t i = 0; i < n; i++)
        y[i * run->step] = (int8_t)normalise(x[i * run->step], run);
}

static void add_square(me_wide_moments *of, uint32_t square)
{
    of->low += square & 0xffffu;
    of->high += square >> 16;
}

void me_moments_apart_h(const int16_t *x, int32_t n, int32_t step, me_wide_moments *of)
{
    *of = (me_wide_moments){ 0, 0, 0 };
    for (int32_t i = 0; i < n; i++) {
        const int32_t value = x[i * (step / 2)];
        of->total += value;
        add_square(of, (uint32_t)(value * value));
    }
}

void me_moments_words_h(const int16_t *x, int32_t words, me_wide_moments *of)
{
    me_moments_apart_h(x, 2 * words, 2, of);
}

void me_normalise_run_b_h(const int8_t *x, int16_t *y, int32_t n, const me_group_run *run)
{
    for (int32_t i = 0; i < n; i++)
        y[i * (run->y_step / 2)] = (int16_t)normalise(x[i * run->step], run);
}

void me_normalise_run_h_b(const int16_t *x, int8_t *y, int32_t n, const me_group_run *run)
{
    for (int32_t i = 0; i < n; i++)
        y[i * run->y_step] = (int8_t)normalise(x[i * (run->step / 2)], run);
}

void me_normalise_run_h_h(const int16_t *x, int16_t *y, int32_t n, const me_group_run *run)
{
    for (int32_t i = 0; i < n; i++)
        y[i * (run->y_step / 2)] = (int16_t)normalise(x[i * (run->step / 2)], run);
}

void me_moments_words_b(const int8_t *x, int32_t words, me_moments *of) { *of = me_moments_b(x, 4 * words); }

#endif
