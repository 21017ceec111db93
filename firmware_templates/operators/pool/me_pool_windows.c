/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool_windows.h"

#include "me_math.h"
#include "me_pool_rows.h"
#include "me_share.h"

/* Stacks are small: what does not need much of one has a frame of its own. */
#define ME_APART __attribute__((noinline))

/* How many of `most` windows from this one on are alike. */
static int32_t alike(const me_window *w, int32_t most)
{
    int32_t first = w->first, last = w->last, n = 1;
    const int32_t kind = w->kind, step = most > 1 ? w[1].first - first : 0;
    if (w->alike > 0)
        return me_min(w->alike, most);
    for (; n < most; n++) {
        first += step;
        last += step;
        w++;
        if (w->first != first || w->last != last || w->kind != kind)
            break;
    }
    return n;
}

/* ---- words of four channels */

static uint32_t repeated(int32_t x) { return me_pack_b(x, x, x, x); }

static void set_scale(me_taps *taps, const me_avg_pool_s8_params *op, int32_t kind, int32_t n)
{
    const me_channel *each = op->each + kind;
    taps->bias = -op->x_zero * n;
    taps->pre = op->scale.pre;
    taps->mult = each->mult;
    taps->offset = each->offset;
    taps->shift = each->shift;
    taps->low = repeated(op->scale.low);
    taps->high = repeated(op->scale.high);
}

/* ---- windows of few taps */

/* A walk over the taps of a window: how far from its start, and how many are left. `down`: from
 * after the end of a row to the next one. */
typedef struct {
    int32_t offset, column, left, columns, c, down;
} me_walk;

/* taps[from .. 3]: the next ones, the last one again where there are no more. */
static inline void set_taps(me_taps *taps, int32_t from, me_walk *at)
{
    for (; from < 4; from++) {
        taps->tap[from] = at->offset;
        if (--at->left <= 0)
            continue;
        at->offset += at->c;
        if (++at->column == at->columns) {
            at->column = 0;
            at->offset += at->down;
        }
    }
}

/* Up to four taps at once; the maximum so far is one of them after the first time. */
static ME_APART void max_of_many(me_taps *taps, me_walk walk)
{
    set_taps(taps, 0, &walk);
    me_max_words(taps);
    while (walk.left > 0) {
        set_taps(taps, 1, &walk);
        me_max_more(taps);
    }
}

static inline void few_taps(me_taps *taps, const me_pool_s8_tile *tile, int32_t rows, int32_t columns,
                            bool average)
{
    const int32_t c = tile->c, row = tile->row_stride;
    me_walk walk = { 0, 0, rows * columns, columns, c, row - columns * c };
    if (walk.left != 4 && !average) {
        max_of_many(taps, walk);
        return;
    }
    taps->tap[0] = 0;
    taps->tap[1] = columns > 1 ? c : row;
    if (walk.left == 2) {
        me_average_pairs(taps);
        return;
    }
    taps->tap[2] = columns == 2 ? row : 2 * taps->tap[1];
    taps->tap[3] = taps->tap[1] + taps->tap[2];
    (average ? me_average_words : me_max_words)(taps);
}

static ME_APART void few_words(const me_pool_run *run)
{
    me_taps taps;
    taps.x = run->x + run->first;
    taps.y = run->y + run->first;
    taps.words = run->words;
    taps.pixels = taps.room = taps.width = run->pixels;
    taps.x_pixel = run->pixel_step;
    taps.y_pixel = run->tile->y_stride;
    taps.x_row = 0;
    if (run->average)
        set_scale(&taps, run->average, run->kind, run->rows * run->columns);
    few_taps(&taps, run->tile, run->rows, run->columns, run->average != 0);
}

/* ---- windows of many */

void me_pool_any_window(const me_pool_run *run)
{
    const int32_t c = run->tile->c, row_stride = run->tile->row_stride;
    const bool whole_rows = run->columns * c == row_stride;
    me_big_window w;
    w.rows = whole_rows ? 1 : run->rows;
    w.columns = run->columns * (whole_rows ? run->rows : 1);
    w.column_step = c;
    w.row_step = row_stride - run->columns * c;
    if (run->average)
        set_scale(&w.scale, run->average, run->kind, run->rows * run->columns);
    const bool channels = run->words >= run->pixels;
    const int32_t outer = channels ? run->pixels : run->words;
    w.words = channels ? run->words : run->pixels;
    w.x_step = channels ? 4 : run->pixel_step;
    w.y_step = channels ? 4 : run->tile->y_stride;
    for (int32_t i = 0; i < outer; i++) {
        w.x = run->x + run->first + i * (channels ? run->pixel_step : 4);
        w.y = run->y + run->first + i * (channels ? run->tile->y_stride : 4);
        /* cppcheck-suppress uninitvar ; scale is read by averages, which set it */
        (run->average ? me_average_window : me_max_window)(&w);
    }
}

/* ---- single channels */

static int8_t averaged(const me_pool_run *run, int32_t sum)
{
    const me_avg_pool_s8_params *op = run->average;
    const me_channel *each = op->each + run->kind;
    const int32_t acc = sum - op->x_zero * run->rows * run->columns;
    const int32_t q = me_requant(acc, op->scale.pre, each->mult, each->offset, each->shift);
    return me_clip(q, op->scale.low, op->scale.high);
}

void me_pool_run_bytes(const me_pool_run *run, int32_t channel, int32_t end)
{
    const int32_t c = run->tile->c;
    for (int32_t i = 0; i < run->pixels; i++)
        for (int32_t k = channel; k < end; k++) {
            const int8_t *row = run->x + i * run->pixel_step + k;
            int32_t sum = 0, most = -128;
            for (int32_t r = 0; r < run->rows; r++, row += run->tile->row_stride) {
                const int8_t *x = row;
                if (run->average)
                    for (int32_t s = 0; s < run->columns; s++)
                        sum += me_step_b(&x, c);
                else
                    for (int32_t s = 0; s < run->columns; s++) {
                        const int32_t tap = me_step_b(&x, c);
                        most = me_max(most, tap);
                    }
            }
            run->y[i * run->tile->y_stride + k] = run->average ? averaged(run, sum) : (int8_t)most;
        }
}

void me_pool_through_table(const me_pool_run *run, int32_t end)
{
    const int8_t *table = run->average->scale.table;
    for (int32_t i = 0; i < run->pixels; i++)
        for (int32_t k = run->first; k < end; k++) {
            int8_t *y = run->y + i * run->tile->y_stride + k;
            *y = me_lookup(table, *y);
        }
}

/* ---- shares: of pixels, or of channels where there are few pixels */

/* Pixels `pixel` and after it, in its row and alike; channels [channel, end). -> pixels done */
static int32_t run_some(me_pool_run *run, int32_t pixel, int32_t most, int32_t channel, int32_t end)
{
    const me_pool_s8_tile *tile = run->tile;
    const int32_t oy = pixel / tile->ow, ox = pixel - oy * tile->ow;
    const me_window *row = tile->rows + oy, *column = tile->columns + ox;
    const int32_t n = alike(column, me_min(tile->ow - ox, most));
    run->x = tile->x + row->first * tile->row_stride + column->first * tile->c;
    run->y = tile->y + pixel * tile->y_stride;
    run->rows = me_window_extent(row);
    run->columns = me_window_extent(column);
    run->kind = run->average ? row->kind * run->average->kinds + column->kind : 0;
    run->pixels = n;
    run->pixel_step = n > 1 ? (column[1].first - column->first) * tile->c : 0;
    run->first = channel;
    run->words = (end - channel) / 4;
    if (run->words > 0)
        (me_has_few_taps(run->average, run->rows * run->columns) ? few_words : me_pool_any_window)(run);
    if (channel + 4 * run->words < end)
        me_pool_run_bytes(run, channel + 4 * run->words, end);
    if (run->average && run->average->scale.table)
        me_pool_through_table(run, end);
    return n;
}

ME_APART void me_pool_uneven(const me_pool_s8_tile *tile, const me_avg_pool_s8_params *average)
{
    const int32_t pixels = tile->oh * tile->ow, lanes = tile->c < 4 ? 1 : 4;
    const int32_t words = (tile->c + lanes - 1) / lanes;
    const bool by_channel = pixels < 32 && (words >= 8 || words > pixels);
    const int32_t n = by_channel ? words : pixels, first = ME_FIRST(n), last = ME_LAST(n);
    const int32_t channel = by_channel ? lanes * first : 0;
    const int32_t end = by_channel ? me_min(lanes * last, tile->c) : tile->c;
    const int32_t stop = by_channel ? pixels : last;
    me_pool_run run;
    run.tile = tile;
    run.average = average;
    if (first < last)
        /* cppcheck-suppress duplicateValueTernary ; first is 0 on a host with one core */
        for (int32_t pixel = by_channel ? 0 : first; pixel < stop;)
            pixel += run_some(&run, pixel, stop - pixel, channel, end);
}

/* Windows of few taps that are alike and at one distance along both axes: a core's share is of
 * channels, which are in banks of their own, or of pixels where that is more even. */
void me_pool_even(const me_pool_s8_tile *tile, const me_avg_pool_s8_params *average)
{
    const me_window *row = tile->rows, *column = tile->columns;
    const int32_t ow = tile->ow, words = tile->c / 4, pixels = tile->oh * ow;
    const bool by_word = (words + 7) / 8 * pixels <= (pixels + 7) / 8 * words;
    const int32_t line = tile->oh > 1 ? (row[1].first - row->first) * tile->row_stride : 0;
    const int32_t step = ow > 1 ? (column[1].first - column->first) * tile->c : 0;
    me_taps taps;
    taps.x = tile->x + row->first * tile->row_stride + column->first * tile->c;
    taps.y = tile->y;
    taps.words = words;
    taps.pixels = pixels;
    taps.room = taps.width = ow;
    taps.x_pixel = step;
    taps.y_pixel = tile->y_stride;
    taps.x_row = line - ow * step;
    if (by_word) {
        const int32_t from = ME_FIRST(words);
        taps.x += 4 * from;
        taps.y += 4 * from;
        taps.words = ME_LAST(words) - from;
    } else { /* where an eighth begins, without a division */
        const int32_t rows = ME_FIRST(8) * tile->oh, down = rows / 8, right = rows % 8 * ow / 8;
        const int32_t from = down * ow + right;
        taps.x += down * line + right * step;
        taps.y += from * taps.y_pixel;
        taps.pixels = ME_LAST(pixels) - from;
        taps.room -= right;
    }
    if (taps.pixels * taps.words == 0)
        return;
    const int32_t high = me_window_extent(row), wide = me_window_extent(column);
    if (average)
        set_scale(&taps, average, row->kind * average->kinds + column->kind, high * wide);
    few_taps(&taps, tile, high, wide, average != 0);
}
