/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool.h"

#include <stdbool.h>

#include "me_math.h"
#include "me_pool_rows.h"
#include "me_share.h"

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* ---- sizes of windows, and which of them are alike */

/* What the results of a run of columns, or one pixel's channels, have in common. */
typedef struct {
    const me_pool_tile *tile;
    const me_avg_pool *average; /* 0: maximum */
    const int8_t *x;            /* the first window's first pixel */
    int8_t *y;
    int32_t rows, columns, kind;
    int32_t pixels, pixel_step; /* windows side by side, bytes between their starts */
    int32_t first, words;       /* channels */
    int32_t lines, x_line, y_line; /* rows of windows below each other, bytes between their starts */
} me_run;

static int32_t extent(const me_window *w) { return w->last - w->first; }

/* How many of `most` windows from this one on are alike. */
static int32_t alike(const me_window *w, int32_t most)
{
    int32_t first = w->first, last = w->last, n = 1;
    const int32_t kind = w->kind, step = most > 1 ? w[1].first - first : 0;
    if (w->alike > 0)
        return least(w->alike, most);
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

static void set_scale(me_taps *taps, const me_run *run)
{
    const me_avg_pool *op = run->average;
    const me_channel *each = op->each + run->kind;
    taps->bias = -op->x_zero * run->rows * run->columns;
    taps->pre = op->scale.pre;
    taps->mult = each->mult;
    taps->offset = each->offset;
    taps->shift = each->shift;
    taps->low = repeated(op->scale.low);
    taps->high = repeated(op->scale.high);
}

/* The longer of channels and pixels is the inner loop. */
static void set_loops(me_taps *taps, const me_run *run)
{
    const int32_t y_pixel = run->tile->y_stride;
    const bool channels = run->words >= run->pixels;
    taps->inner = channels ? run->words : run->pixels;
    taps->outer = channels ? run->pixels : run->words;
    taps->x_inner = channels ? 4 : run->pixel_step;
    taps->y_inner = channels ? 4 : y_pixel;
    taps->x_outer = (channels ? run->pixel_step : 4) - taps->inner * taps->x_inner;
    taps->y_outer = (channels ? y_pixel : 4) - taps->inner * taps->y_inner;
    taps->y = run->y + run->first;
    taps->first_inner = taps->x_inner;
    taps->first_outer = taps->x_outer;
    taps->rows = run->lines;
    taps->x_row = run->x_line - taps->outer * (channels ? run->pixel_step : 4);
    taps->y_row = run->y_line - taps->outer * (channels ? y_pixel : 4);
    taps->first_row = taps->x_row;
}

/* Up to four taps at once; the maximum so far is one of them after the first time. */
static void max_of_few(const me_run *run)
{
    const int32_t n = run->rows * run->columns, c = run->tile->c;
    me_taps taps;
    const int8_t *tap = run->x + run->first;
    int32_t used = 0, filled = 0, column = 0;
    set_loops(&taps, run);
    while (used < n) {
        for (; filled < 4; filled++) { /* the last tap again where there are no more */
            taps.tap[filled] = tap;
            if (++used >= n)
                continue;
            tap += c;
            if (++column == run->columns) {
                column = 0;
                tap += run->tile->row_stride - run->columns * c;
            }
        }
        me_max_words(&taps);
        taps.tap[0] = taps.y;
        taps.first_inner = taps.y_inner;
        taps.first_outer = taps.y_outer;
        taps.first_row = taps.y_row;
        filled = 1;
    }
}

static void average_of_four(const me_run *run)
{
    const int32_t c = run->tile->c;
    me_taps taps;
    set_loops(&taps, run);
    set_scale(&taps, run);
    const int8_t *tap = run->x + run->first;
    for (int32_t t = 0, column = 0; t < 4; t++) {
        taps.tap[t] = tap;
        tap += c;
        if (++column == run->columns) {
            column = 0;
            tap += run->tile->row_stride - run->columns * c;
        }
    }
    me_average_words(&taps);
}

static void any_window(const me_run *run)
{
    const int32_t c = run->tile->c, row_stride = run->tile->row_stride;
    const bool whole_rows = run->columns * c == row_stride;
    me_big_window w;
    w.rows = whole_rows ? 1 : run->rows;
    w.columns = run->columns * (whole_rows ? run->rows : 1);
    w.column_step = c;
    w.row_step = row_stride - run->columns * c;
    if (run->average)
        set_scale(&w.scale, run);
    const bool channels = run->words >= run->pixels;
    const int32_t outer = channels ? run->pixels : run->words;
    w.words = channels ? run->words : run->pixels;
    w.x_step = channels ? 4 : run->pixel_step;
    w.y_step = channels ? 4 : run->tile->y_stride;
    for (int32_t i = 0; i < outer; i++) {
        w.x = run->x + run->first + i * (channels ? run->pixel_step : 4);
        w.y = run->y + run->first + i * (channels ? run->tile->y_stride : 4);
        (run->average ? me_average_window : me_max_window)(&w);
    }
}

static bool has_few_taps(const me_run *run)
{
    const int32_t taps = run->rows * run->columns;
    return run->average ? taps == 4 && run->average->scale.pre == 0 : taps <= 9;
}

static void run_words(const me_run *run)
{
    if (has_few_taps(run))
        (run->average ? average_of_four : max_of_few)(run);
    else
        any_window(run);
}

/* ---- single channels */

static int8_t averaged(const me_run *run, int32_t sum)
{
    const me_avg_pool *op = run->average;
    const me_channel *each = op->each + run->kind;
    const int32_t acc = sum - op->x_zero * run->rows * run->columns;
    const int32_t q = me_requant(acc, op->scale.pre, each->mult, each->offset, each->shift);
    return me_clip(q, op->scale.low, op->scale.high);
}

static void run_bytes(const me_run *run, int32_t channel, int32_t end)
{
    const int32_t c = run->tile->c;
    for (int32_t i = 0; i < run->pixels; i++)
        for (int32_t k = channel; k < end; k++) {
            const int8_t *row = run->x + i * run->pixel_step + k;
            int32_t sum = 0, most = -128;
            for (int32_t r = 0; r < run->rows; r++, row += run->tile->row_stride) {
                const int8_t *x = row;
                for (int32_t s = 0; s < run->columns; s++, x += c) {
                    sum += *x;
                    most = me_max(most, *x);
                }
            }
            run->y[i * run->tile->y_stride + k] = run->average ? averaged(run, sum) : (int8_t)most;
        }
}

static void through_table(const me_run *run, int32_t end)
{
    const int8_t *table = run->average->scale.table;
    for (int32_t i = 0; i < run->pixels; i++)
        for (int32_t k = run->first; k < end; k++) {
            int8_t *y = run->y + i * run->tile->y_stride + k;
            *y = me_lookup(table, *y);
        }
}

/* ---- shares: of pixels, or of channels where there are few pixels */

/* Pixels `pixel` and behind it, in its row and alike; channels [channel, end). -> pixels done */
static int32_t run_some(me_run *run, int32_t pixel, int32_t most, int32_t channel, int32_t end)
{
    const me_pool_tile *tile = run->tile;
    const int32_t oy = pixel / tile->ow, ox = pixel - oy * tile->ow;
    const me_window *row = tile->rows + oy, *column = tile->columns + ox;
    const int32_t n = alike(column, least(tile->ow - ox, most));
    run->x = tile->x + row->first * tile->row_stride + column->first * tile->c;
    run->y = tile->y + pixel * tile->y_stride;
    run->rows = extent(row);
    run->columns = extent(column);
    run->kind = run->average ? row->kind * run->average->kinds + column->kind : 0;
    run->pixels = n;
    run->pixel_step = n > 1 ? (column[1].first - column->first) * tile->c : 0;
    run->first = channel;
    run->words = (end - channel) / 4;
    if (run->words > 0)
        run_words(run);
    if (channel + 4 * run->words < end)
        run_bytes(run, channel + 4 * run->words, end);
    if (run->average && run->average->scale.table)
        through_table(run, end);
    return n;
}

/* Windows that are alike and at one distance along both axes: a rectangle a core, by the axis that
 * eight share best. */
static void run_even(me_run *run)
{
    const me_pool_tile *tile = run->tile;
    const int32_t oh = tile->oh, ow = tile->ow, words = tile->c / 4;
    const int32_t by_row = (oh + 7) / 8 * ow * words, by_column = (ow + 7) / 8 * oh * words;
    const int32_t by_word = (words + 7) / 8 * oh * ow;
    int32_t from[3] = { 0, 0, 0 }, to[3] = { oh, ow, words };
    const int32_t axis = by_row <= by_word && by_row <= by_column ? 0 : by_word <= by_column ? 2 : 1;
    from[axis] = ME_FIRST(to[axis]);
    to[axis] = ME_LAST(to[axis]);
    run->lines = to[0] - from[0];
    run->pixels = to[1] - from[1];
    run->words = to[2] - from[2];
    if (run->lines <= 0 || run->pixels <= 0 || run->words <= 0)
        return;
    run->x_line = oh > 1 ? (tile->rows[1].first - tile->rows[0].first) * tile->row_stride : 0;
    run->y_line = ow * tile->y_stride;
    run->pixel_step = ow > 1 ? (tile->columns[1].first - tile->columns[0].first) * tile->c : 0;
    run->first = 4 * from[2];
    run->x = tile->x + tile->rows->first * tile->row_stride + tile->columns->first * tile->c
        + from[0] * run->x_line + from[1] * run->pixel_step;
    run->y = tile->y + from[0] * run->y_line + from[1] * tile->y_stride;
    (run->average ? average_of_four : max_of_few)(run);
}

static bool is_even(const me_pool_tile *tile)
{
    return tile->rows->alike >= tile->oh && tile->columns->alike >= tile->ow && tile->c % 4 == 0;
}

static void run_pool(const me_pool_tile *tile, const me_avg_pool *average)
{
    const int32_t pixels = tile->oh * tile->ow, words = (tile->c + 3) / 4;
    const bool by_channel = pixels < 32 && words >= 8;
    const int32_t n = by_channel ? words : pixels, first = ME_FIRST(n), last = ME_LAST(n);
    const int32_t channel = by_channel ? 4 * first : 0;
    const int32_t end = by_channel ? least(4 * last, tile->c) : tile->c;
    const int32_t stop = by_channel ? pixels : last;
    me_run run;
    run.tile = tile;
    run.average = average;
    run.rows = extent(tile->rows);
    run.columns = extent(tile->columns);
    run.kind = average ? tile->rows->kind * average->kinds + tile->columns->kind : 0;
    if (is_even(tile) && has_few_taps(&run) && !(average && average->scale.table)) {
        run_even(&run);
        return;
    }
    run.lines = 1;
    run.x_line = run.y_line = 0;
    if (first < last)
        for (int32_t pixel = by_channel ? 0 : first; pixel < stop;)
            pixel += run_some(&run, pixel, stop - pixel, channel, end);
}

void me_max_pool_run(const me_pool_tile *tile) { run_pool(tile, 0); }

void me_avg_pool_run(const me_avg_pool *op, const me_pool_tile *tile) { run_pool(tile, op); }

/* ---- axes */

static void reduce_rows(const me_reduce *op, const int8_t *x, int8_t *y)
{
    const me_scale *scale = &op->scale;
    const int32_t words = op->reduced / 4;
    for (int32_t row = ME_FIRST(op->outer); row < ME_LAST(op->outer); row++) {
        const int8_t *from = x + row * op->reduced;
        int32_t sum = words > 0 ? me_sum_bytes(from, words) : 0;
        for (int32_t i = 4 * words; i < op->reduced; i++)
            sum += from[i];
        sum -= op->x_zero * op->reduced;
        const int32_t q = me_requant(sum, scale->pre, op->each->mult, op->each->offset, op->each->shift);
        const int8_t limited = me_clip(q, scale->low, scale->high);
        y[row] = scale->table ? me_lookup(scale->table, limited) : limited;
    }
}

/* A window over all rows of an image one column wide. */
static void reduce_images(const me_reduce *op, const int8_t *x, int8_t *y)
{
    const me_avg_pool average = { op->x_zero, 1, op->each, op->scale };
    me_pool_tile tile;
    me_run run;
    tile.c = tile.row_stride = tile.y_stride = op->inner;
    run.tile = &tile;
    run.average = &average;
    run.rows = op->reduced;
    run.columns = run.pixels = run.lines = 1;
    run.x_line = run.y_line = 0;
    run.kind = run.pixel_step = 0;
    const int32_t words = (op->inner + 3) / 4, n = op->outer * words;
    int32_t at = ME_FIRST(n);
    const int32_t last = ME_LAST(n);
    while (at < last) {
        const int32_t image = at / words, word = at - image * words;
        const int32_t most = least(words - word, last - at);
        const int32_t end = least(4 * (word + most), op->inner);
        run.first = 4 * word;
        run.words = (end - run.first) / 4;
        run.x = x + image * op->reduced * op->inner;
        run.y = y + image * op->inner;
        if (run.words > 0)
            any_window(&run);
        if (run.first + 4 * run.words < end)
            run_bytes(&run, run.first + 4 * run.words, end);
        if (op->scale.table)
            through_table(&run, end);
        at += most;
    }
}

void me_reduce_run(const me_reduce *op, const int8_t *x, int8_t *y)
{
    if (op->inner == 1)
        reduce_rows(op, x, y);
    else
        reduce_images(op, x, y);
}
