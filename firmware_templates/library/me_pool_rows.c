/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

static int8_t averaged(const me_taps *t, int32_t sum)
{
    const int32_t q = me_requant(sum + t->bias, t->pre, t->mult, t->offset, t->shift);
    return me_clip(q, (int8_t)(t->low & 255u), (int8_t)(t->high & 255u));
}

/* Words of one row of windows; first, at and y move behind them. */
static void max_row(const me_taps *taps, const int8_t **first, int32_t *at, int8_t **y)
{
    for (int32_t o = 0; o < taps->outer; o++) {
        for (int32_t i = 0; i < taps->inner; i++) {
            for (int32_t j = 0; j < 4; j++) {
                int32_t most = (*first)[j];
                for (int32_t t = 1; t < 4; t++)
                    most = me_max(most, taps->tap[t][*at + j]);
                (*y)[j] = (int8_t)most;
            }
            *first += taps->first_inner;
            *at += taps->x_inner;
            *y += taps->y_inner;
        }
        *first += taps->first_outer;
        *at += taps->x_outer;
        *y += taps->y_outer;
    }
}

void me_max_words(const me_taps *taps)
{
    const int8_t *first = taps->tap[0];
    int32_t at = 0;
    int8_t *y = taps->y;
    for (int32_t row = 0; row < taps->rows; row++) {
        max_row(taps, &first, &at, &y);
        first += taps->first_row;
        at += taps->x_row;
        y += taps->y_row;
    }
}

static void average_row(const me_taps *taps, int32_t *at, int8_t **y)
{
    for (int32_t o = 0; o < taps->outer; o++) {
        for (int32_t i = 0; i < taps->inner; i++) {
            for (int32_t j = 0; j < 4; j++) {
                int32_t sum = 0;
                for (int32_t t = 0; t < 4; t++)
                    sum += taps->tap[t][*at + j];
                (*y)[j] = averaged(taps, sum);
            }
            *at += taps->x_inner;
            *y += taps->y_inner;
        }
        *at += taps->x_outer;
        *y += taps->y_outer;
    }
}

void me_average_words(const me_taps *taps)
{
    int32_t at = 0;
    int8_t *y = taps->y;
    for (int32_t row = 0; row < taps->rows; row++) {
        average_row(taps, &at, &y);
        at += taps->x_row;
        y += taps->y_row;
    }
}

void me_max_window(const me_big_window *w)
{
    for (int32_t i = 0; i < w->words; i++)
        for (int32_t j = 0; j < 4; j++) {
            const int8_t *x = w->x + i * w->x_step + j;
            int32_t most = -128;
            for (int32_t r = 0; r < w->rows; r++, x += w->row_step)
                for (int32_t s = 0; s < w->columns; s++, x += w->column_step)
                    most = me_max(most, *x);
            w->y[i * w->y_step + j] = (int8_t)most;
        }
}

void me_average_window(const me_big_window *w)
{
    for (int32_t i = 0; i < w->words; i++)
        for (int32_t j = 0; j < 4; j++) {
            const int8_t *x = w->x + i * w->x_step + j;
            int32_t sum = 0;
            for (int32_t r = 0; r < w->rows; r++, x += w->row_step)
                for (int32_t s = 0; s < w->columns; s++, x += w->column_step)
                    sum += *x;
            w->y[i * w->y_step + j] = averaged(&w->scale, sum);
        }
}

int32_t me_sum_bytes(const int8_t *x, int32_t words)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < 4 * words; i++)
        sum += x[i];
    return sum;
}

#endif
