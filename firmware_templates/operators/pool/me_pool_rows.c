/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

static int8_t averaged(const me_taps *t, int32_t sum)
{
    const int32_t q = me_requant(sum + t->bias, t->pre, t->mult, t->offset, t->shift);
    return me_clip(q, (int8_t)(t->low & 255u), (int8_t)(t->high & 255u));
}

/* A walk over windows: where the present one starts. */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t room; /* windows to the end of the row */
} me_place;

static me_place first_place(const me_taps *taps) { return (me_place){ taps->x, taps->y, taps->room }; }

static void next_place(const me_taps *taps, me_place *at)
{
    at->x += taps->x_pixel;
    at->y += taps->y_pixel;
    if (--at->room == 0) {
        at->x += taps->x_row;
        at->room = taps->width;
    }
}

static int8_t most_of(const me_taps *taps, const int8_t *x, int32_t most)
{
    for (int32_t t = 1; t < 4; t++)
        most = me_max(most, x[taps->tap[t]]);
    return (int8_t)most;
}

void me_max_words(const me_taps *taps)
{
    me_place at = first_place(taps);
    for (int32_t pixel = 0; pixel < taps->pixels; pixel++, next_place(taps, &at))
        for (int32_t j = 0; j < 4 * taps->words; j++)
            at.y[j] = most_of(taps, at.x + j, at.x[taps->tap[0] + j]);
}

void me_max_more(const me_taps *taps)
{
    me_place at = first_place(taps);
    for (int32_t pixel = 0; pixel < taps->pixels; pixel++, next_place(taps, &at))
        for (int32_t j = 0; j < 4 * taps->words; j++)
            at.y[j] = most_of(taps, at.x + j, at.y[j]);
}

static void average_taps(const me_taps *taps, int32_t count)
{
    me_place at = first_place(taps);
    for (int32_t pixel = 0; pixel < taps->pixels; pixel++, next_place(taps, &at))
        for (int32_t j = 0; j < 4 * taps->words; j++) {
            int32_t sum = 0;
            for (int32_t t = 0; t < count; t++)
                sum += at.x[taps->tap[t] + j];
            at.y[j] = averaged(taps, sum);
        }
}

void me_average_words(const me_taps *taps) { average_taps(taps, 4); }

void me_average_pairs(const me_taps *taps) { average_taps(taps, 2); }

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
