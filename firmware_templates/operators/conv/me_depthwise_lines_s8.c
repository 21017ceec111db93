/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise_lines_s8.h"

#include "me_depthwise_lines.h"
#include "me_intrinsics.h"
#include "me_layout_rows.h"
#include "me_share.h"

#define CORES 8

/* Geometry of one direction of a layer. x_step, y_step: bytes from a position to the next */
typedef struct {
    int32_t size, pad, kernel, stride, dilation, results, x_step, y_step;
} direction;

/* Lines of four channels in scratch: [channel][line][phase][phase_bytes], where a phase holds the
 * positions of equal remainder modulo op->phases. The offsets of the rows of taps come before them. */
typedef struct {
    const me_depthwise_lines_s8_params *op;
    const me_depthwise_lines_s8_tile *tile;
    int32_t *offsets;
    int8_t *lines;
    direction along, across;
    int32_t rows, words, phase_bytes, line_bytes, channel_bytes;
} layer;

/* A block of results: `channels` channels from `channel` on, `lines` lines from `line` on, n positions
 * from `first` on. */
typedef struct {
    int32_t channel, channels, line, lines, first, n;
} block;

static int32_t span(const direction *d, int32_t results)
{
    return me_conv_span(results, d->kernel, d->stride, d->dilation);
}

static layer describe_layer(const me_depthwise_lines_s8_params *op, const me_depthwise_lines_s8_tile *tile)
{
    const me_conv_s8_params *conv = &op->conv;
    const me_conv_s8_tile *t = &tile->conv;
    const direction rows = { t->w,  t->pad_left,           conv->k_w,  conv->stride_w, conv->dilation_w,
                             t->ow, t->k / op->multiplier, t->y_stride };
    const direction columns = { t->h,  t->pad_top,    conv->k_h,          conv->stride_h, conv->dilation_h,
                                t->oh, t->row_stride, t->ow * t->y_stride };
    layer of = {
        .op = op, .tile = tile, .along = op->turned ? columns : rows, .across = op->turned ? rows : columns
    };
    const int32_t apart = op->phases / of.along.dilation; /* taps t and t + apart are contiguous */
    const int32_t last = (tile->block_along - 1) * of.along.stride / op->phases;
    of.rows = of.across.kernel * apart;
    of.words = ((of.along.kernel + apart - 1) / apart + 6) / 4;
    of.phase_bytes = (last + 8 + 4 * of.words) & ~3;
    of.line_bytes = op->phases * of.phase_bytes;
    of.channel_bytes = span(&of.across, tile->block_lines) * of.line_bytes;
    of.offsets = (int32_t *)(void *)(t->scratch + ME_CORE() * (4 * (of.channel_bytes + of.rows) | 4));
    of.lines = (int8_t *)(of.offsets + of.rows);
    return of;
}

/* Transposes n positions of up to four channels, `step` bytes apart, into lines. */
static void transpose(const layer *of, const int8_t *x, int32_t step, int32_t n, int32_t channels, int8_t *to)
{
    const int32_t line = of->channel_bytes;
    if (n >= 4 && channels == 4) {
        me_depthwise_transpose(x, step, n / 4, to, line);
        if (n % 4)
            me_depthwise_transpose(x + (n - 4) * step, step, 1, to + n - 4, line);
        return;
    }
    for (int32_t i = 0; i < n; i++)
        for (int32_t c = 0; c < channels; c++)
            to[c * line + i] = x[i * step + c];
}

/* Copies one phase of all lines of a block: `count` positions from `first` on, op->phases apart, to `to`
 * in the first line. Cores start with different lines, so that they access different banks. */
static void fill_phase(const layer *of, const block *b, int32_t first, int32_t count, int8_t *to)
{
    const direction *along = &of->along, *across = &of->across;
    const int32_t lines = span(across, b->lines), top = b->line * across->stride - across->pad;
    const int8_t *x = of->tile->conv.x + first * along->x_step + b->channel;
    int32_t line = ME_CORE() % lines;
    for (int32_t i = 0; i < lines; i++) {
        if (top + line >= 0 && top + line < across->size)
            transpose(of, x + (top + line) * across->x_step, of->op->phases * along->x_step, count,
                      b->channels, to + line * of->line_bytes);
        line = line + 1 < lines ? line + 1 : 0;
    }
}

/* Fills the lines with the block's input and its padding. */
static void fill(const layer *of, const block *b)
{
    const direction *along = &of->along;
    const uint32_t zero = (uint8_t)of->op->conv.x_zero;
    const int32_t positions = span(along, b->n), phases = of->op->phases;
    me_fill_words(of->lines, zero * 0x01010101u, of->channel_bytes);
    for (int32_t phase = 0; phase < me_min(phases, positions); phase++) {
        const int32_t start = b->first * along->stride - along->pad + phase;
        const int32_t before = start < 0 ? (phases - 1 - start) / phases : 0;
        const int32_t inside = me_min(along->size - start, positions - phase);
        const int32_t end = inside > 0 ? (inside + phases - 1) / phases : 0;
        if (end > before)
            fill_phase(of, b, start + before * phases, end - before,
                       of->lines + phase * of->phase_bytes + before);
    }
}

/* Computes n results from x and y on, four per call. The last group overlaps the one before if n is not a
 * multiple of 4; fewer than four results are computed one by one. */
static void run_fours(me_depthwise_run *run, int32_t n, const int8_t *x, int8_t *y, int32_t x_step,
                      int32_t y_step)
{
    const int32_t several = n >= 4;
    run->x = x;
    run->y = y;
    run->x_step = several ? x_step : 0;
    run->y_step = several ? y_step : 0;
    run->n = several ? n & ~3 : 4;
    me_depthwise_fours(run);
    if (several && n % 4 == 0)
        return;
    run->n = 4;
    for (int32_t i = several ? n - 4 : 1; i < (several ? n - 3 : n); i++) {
        run->x = x + i * x_step;
        run->y = y + i * y_step;
        me_depthwise_fours(run);
    }
}

/* Computes lines with fewer than 8 results: groups of four across lines if there are at least as many
 * lines as results, otherwise along the line. */
static void run_short_lines(me_depthwise_run *run, int32_t n, const int8_t *x, int8_t *y, int32_t y_step)
{
    const int32_t lines = run->lines;
    if (lines >= n)
        for (int32_t i = 0; i < n; i++)
            run_fours(run, lines, x + i, y + i * y_step, run->x_line, run->y_line);
    else
        for (int32_t i = 0; i < lines; i++)
            run_fours(run, n, x + i * run->x_line, y + i * run->y_line, 1, y_step);
}

static void run_lines(me_depthwise_run *run, int32_t n, const int8_t *x, int8_t *y, int32_t y_step)
{
    if (n < 8) {
        run_short_lines(run, n, x, y, y_step);
        return;
    }
    const int32_t lines = run->lines; /* the kernel decrements run->lines */
    run->x = x;
    run->y = y;
    run->y_step = y_step;
    run->n = n;
    run->back = -n & 7;
    run->y_back = run->back * y_step;
    if (run->pre == 0 && run->low == -128 && run->high == 127 && !run->zero)
        me_depthwise_eights(run);
    else
        me_depthwise_eights_any(run);
    run->lines = lines;
}

/* Lists the offsets of the rows of taps for results from index `first` on. */
static void list_rows(const layer *of, int32_t first)
{
    const direction *along = &of->along;
    const int32_t phases = of->op->phases, apart = phases / along->dilation;
    int32_t *to = of->offsets;
    for (int32_t r = 0; r < of->across.kernel; r++)
        for (int32_t tap = 0; tap < apart; tap++) {
            const int32_t at = first * along->stride + tap * along->dilation, index = at / phases;
            *to++ =
                r * of->across.dilation * of->line_bytes + (at - index * phases) * of->phase_bytes + index;
        }
}

static void run_block(const layer *of, const block *b)
{
    const me_depthwise_lines_s8_params *op = of->op;
    const me_conv_s8_tile *tile = &of->tile->conv;
    const me_scale *scale = &op->conv.scale;
    const int32_t results = op->phases / of->along.stride, weight_bytes = 16 * of->rows * of->words;
    int8_t *y =
        tile->y + b->line * of->across.y_step + b->first * of->along.y_step + b->channel * op->multiplier;
    me_depthwise_run run = {
        .offsets = of->offsets,
        .rows = of->rows,
        .words = of->words,
        .x_step = 1,
        .lines = b->lines,
        .x_line = of->across.stride * of->line_bytes,
        .y_line = of->across.y_step,
        .pre = scale->pre,
        .low = scale->low,
        .high = scale->high,
        .zero = scale->table ? scale->table + 128 : 0,
    };
    fill(of, b);
    for (int32_t first = 0; first < me_min(results, b->n); first++, y += of->along.y_step) {
        const int32_t n = (b->n - first + results - 1) / results;
        list_rows(of, first);
        for (int32_t k = 0; k < b->channels * op->multiplier; k++) {
            const int32_t output = b->channel * op->multiplier + k;
            run.weights = tile->weights + output * weight_bytes;
            run.channel = tile->channels + output;
            run_lines(&run, n, of->lines + k / op->multiplier * of->channel_bytes, y + k,
                      results * of->along.y_step);
        }
    }
}

void me_depthwise_lines_s8(const me_depthwise_lines_s8_params *op, const me_depthwise_lines_s8_tile *tile)
{
    const layer of = describe_layer(op, tile);
    const int32_t c = tile->conv.k / op->multiplier, groups = (c + 3) / 4;
    const int32_t down = (of.across.results + tile->block_lines - 1) / tile->block_lines;
    const int32_t right = (of.along.results + tile->block_along - 1) / tile->block_along;
    const int32_t n = groups * down * right;
    for (int32_t at = ME_FIRST(n); at < ME_LAST(n); at++) {
        const int32_t group = at / (down * right), place = at - group * down * right;
        const int32_t line = place / right * tile->block_lines, first = place % right * tile->block_along;
        const block b = {
            c < 4 ? 0 : me_min(4 * group, c - 4),
            me_min(c, 4),
            line,
            me_min(tile->block_lines, of.across.results - line),
            first,
            me_min(tile->block_along, of.along.results - first),
        };
        run_block(&of, &b);
    }
}
