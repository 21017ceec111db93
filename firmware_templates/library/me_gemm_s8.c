/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include <stdbool.h>
#include <stddef.h>

#include "me_gemm_s8_block.h"
#include "me_intrinsics.h"
#include "me_share.h"
#include "me_table.h"

#define MOST_PIXELS 64

/* Stacks are small: what is over before blocks are computed has a frame of its own. */
#define ME_APART __attribute__((noinline))

static int32_t at_most(int32_t a, int32_t b) { return a < b ? a : b; }

/* n / 4, rounded down and up; n is not below 0, which a division would have to mind. */
static int32_t whole_fours(int32_t n) { return n >> 2; }
static int32_t fours(int32_t n) { return (n + 3) >> 2; }

static uint32_t in_all_bytes(int32_t limit) { return ((uint32_t)limit & 0xFFu) * 0x01010101u; }

/* Pixels times channels. A pixel's taps are a window of x: `pieces` pieces of `piece` bytes, `skip`
 * bytes between them, and that `planes` times, plane_step apart. Window (i, j) starts at
 * x + i * row_step + j * step; those from (first_row, first) to before (end_row, end) lie inside x.
 * A window is read where it lies, if it is one piece, else copied into this core's scratch. */
typedef struct {
    const int8_t *x;
    bool in_place;                   /* all windows are read where they lie */
    bool in_step;                    /* and all `step` apart, whatever their row */
    int32_t row_step, step, columns; /* columns: pixels of a row */
    int32_t first_row, end_row, first, end;
    int32_t piece, pieces, skip, planes, plane_step;
    int32_t b_zero;                  /* of what takes the place of weights, in a matrix product */
    int32_t pixels, k, taps, y_stride;
    int32_t cores;                   /* that share the work */
    int32_t x_step;                  /* bytes between the words of a window: 4, or a row's if narrow */
    int32_t awaited;                 /* as in the tile: how often yet */
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y, *scratch;
    const me_scale *scale;
    const me_conv_s8_params *conv;             /* only where windows reach over an edge */
    const me_conv_s8_tile *tile;
    const me_matmul_s8_params *matmul;         /* whose b is to be packed yet; or 0 */
    const me_matmul_s8_tile *factors;
} work;

/* Until here each core prepares what it can. */
static ME_APART void wait_now(work *w)
{
    if (w->awaited) {
        ME_READY();
        w->awaited--;
    }
}

static ME_APART void pack_now(work *w);

/* By each core, before it touches what lies in L1. */
static inline void wait_for_operands(work *w)
{
    if (w->matmul)
        pack_now(w);
    else if (w->awaited)
        wait_now(w);
}

/* Whether every window is one piece of whole words, where words lie. */
static bool lies_in_words(const work *w)
{
    const uint32_t places = (uint32_t)w->step | (uint32_t)w->row_step | (uint32_t)w->taps;
    return w->pieces * w->planes == 1 && ((places | (uint32_t)(uintptr_t)w->x) & 3) == 0;
}

/* ---- bringing windows to where blocks read them */

static void fill(int8_t **to, int32_t bytes, int32_t value)
{
    const uint32_t word = in_all_bytes(value);
    for (; bytes >= 4; bytes -= 4)
        me_put_w(to, word);
    for (; bytes > 0; bytes--)
        me_put_b(to, value);
}

static void copy(int8_t **to, const int8_t *from, int32_t bytes)
{
    for (; bytes >= 8; bytes -= 8) {
        const uint32_t one = me_next_w(&from), two = me_next_w(&from);
        me_put_w(to, one);
        me_put_w(to, two);
    }
    for (; bytes > 0; bytes--)
        me_put_b(to, me_next_b(&from));
}

/* Of k positions that are `step` apart from `at` on, how many lie before `end`. */
static int32_t before(int32_t at, int32_t step, int32_t k, int32_t end)
{
    int32_t count = 0;
    for (; count < k && at < end; count++)
        at += step;
    return count;
}

/* A window that reaches over an edge. */
static void copy_padded(const work *w, int32_t i, int32_t j, int8_t *to)
{
    const me_conv_s8_params *conv = w->conv;
    const me_conv_s8_tile *tile = w->tile;
    const int32_t c = conv->c, step = conv->dilation_w;
    const int32_t top = i * conv->stride_h - tile->pad_top;
    const int32_t left = j * conv->stride_w - tile->pad_left;
    const int32_t from = before(left, step, conv->k_w, 0);
    const int32_t behind = before(left, step, conv->k_w, tile->w);
    for (int32_t r = 0; r < conv->k_h; r++) {
        const int32_t row = top + r * conv->dilation_h;
        if (row < 0 || row >= tile->h) {
            fill(&to, conv->k_w * c, conv->x_zero);
            continue;
        }
        const int8_t *x = tile->x + (ptrdiff_t)row * tile->row_stride;
        fill(&to, from * c, conv->x_zero);
        if (step == 1)
            copy(&to, x + (left + from) * c, (behind - from) * c);
        else
            for (int32_t s = from; s < behind; s++)
                copy(&to, x + (left + s * step) * c, c);
        fill(&to, (conv->k_w - behind) * c, conv->x_zero);
    }
}

/* n windows of a row that lie inside x, four at a time. */
static void copy_whole(const work *w, const int8_t *from, int8_t *to, int32_t n)
{
    const int32_t row = me_gemm_row_stride(w->taps);
    me_windows some = { from, w->step, to, row, w->pieces, w->piece / 4, w->piece % 4, w->skip, 1, 0, 0 };
    some.from_next = 4 * w->step - w->pieces * (w->piece + w->skip);
    some.to_next = 4 * row - w->pieces * w->piece;
    for (int32_t plane = 0; plane < w->planes; plane++) {
        some.from = from;
        some.to = to;
        if (n >= 4) {
            some.groups = n / 4;
            me_copy_windows(&some);
        }
        some.groups = 1;
        if (n > 4 && n % 4 > 0) { /* the last four, some of them once more */
            some.from = from + (n - 4) * w->step;
            some.to = to + (n - 4) * row;
            me_copy_windows(&some);
        }
        if (n < 4) { /* one, four times */
            some.from_step = some.to_step = 0;
            for (int32_t i = 0; i < n; i++, some.from += w->step, some.to += row)
                me_copy_windows(&some);
        }
        from += w->plane_step;
        to += w->piece * w->pieces;
    }
}

/* A pixel by row and column. */
typedef struct {
    int32_t i, j;
} spot;

static spot spot_of(const work *w, int32_t pixel)
{
    const int32_t i = pixel < w->columns ? 0 : pixel / w->columns;
    return (spot){ i, pixel - i * w->columns };
}

/* Where `count` pixels from a spot on are read; the spot moves behind them. */
static ME_APART void gather(const work *w, spot *at, int32_t count, int8_t *scratch, const int8_t **x)
{
    const int32_t row = me_gemm_row_stride(w->taps);
    const bool whole = w->pieces * w->planes == 1 && w->taps % 4 == 0;
    int32_t i = at->i, j = at->j;
    while (count > 0) {
        const int8_t *from = w->x + (ptrdiff_t)i * w->row_step + (ptrdiff_t)j * w->step;
        const bool inside = i >= w->first_row && i < w->end_row && j >= w->first && j < w->end;
        const int32_t n = inside ? at_most(count, w->end - j) : 1;
        int32_t step = row;
        if (w->in_place || (inside && whole && (((uintptr_t)from | (uint32_t)w->step) & 3) == 0)) {
            step = w->step;
        } else {
            if (inside)
                copy_whole(w, from, scratch, n);
            else
                copy_padded(w, i, j, scratch);
            from = scratch;
            scratch += n * row;
        }
        for (int32_t p = n; p >= 4; p -= 4, x += 4) {
            x[0] = from;
            x[1] = from += step;
            x[2] = from += step;
            x[3] = from += step;
            from += step;
        }
        for (int32_t p = n % 4; p > 0; p--, from += step)
            *x++ = from;
        count -= n;
        j += n;
        if (j == w->columns) {
            j = 0;
            i++;
        }
    }
    at->i = i;
    at->j = j;
}

/* The same of pixels in step. */
static ME_APART void spread(const work *w, int32_t pixel, int32_t count, const int8_t **x)
{
    const int8_t *from = w->x + (ptrdiff_t)pixel * w->step;
    for (; count > 0; count--, from += w->step)
        *x++ = from;
}

/* What -b_zero adds to the sums of each pixel, four of them at a time. */
static ME_APART void add_rows(const work *w, int32_t count, const int8_t *const *x, int32_t *rows)
{
    const int32_t words = w->taps / 4;
    for (int32_t i = 0; i < count; i += 4) {
        const int8_t *at[4];
        int32_t sum[4] = { 0 };
        for (int32_t p = 0; p < 4; p++)
            at[p] = x[at_most(i + p, count - 1)];
        if (words > 0)
            me_sum_rows(at, words, sum);
        for (int32_t p = 0; p < 4 && i + p < count; p++) {
            for (int32_t tap = 4 * words; tap < w->taps; tap++)
                sum[p] += at[p][tap];
            rows[i + p] = -w->b_zero * sum[p];
        }
    }
}

/* ---- who does what: blocks of 4x4 in the order of groups of pixels, by what they cost */

typedef struct {
    int32_t group, block;
} place;

/* The place before which `part` of all cores' parts of the work is done: a block of 4 pixels takes
 * 24 for a word of taps, one of less pixels 9, 14 or 19. */
static ME_APART place place_of(const work *w, int32_t part)
{
    const int32_t blocks = fours(w->k), rest = w->pixels & 3;
    const int32_t whole = whole_fours(w->pixels) * blocks, last = 4 + 5 * rest;
    int32_t unit = whole;
    if (rest == 0) {
        unit = me_share_of(w->cores, part, whole);
    } else {
        const int32_t at = me_share_of(w->cores, part, 24 * whole + last * blocks);
        unit = at <= 24 * whole ? (at + 12) / 24 : whole + (at - 24 * whole + last / 2) / last;
    }
    if (unit < blocks)
        return (place){ 0, unit };
    const int32_t group = unit / blocks;
    return (place){ group, unit - group * blocks };
}

/* What blocks first .. last-1 of pixels from y on have computed becomes its entries: with that among
 * them blocks would be larger than a core's instruction cache. */
static ME_APART void look_up(const work *w, int8_t *y, int32_t pixels, int32_t first, int32_t last)
{
    int32_t n = at_most(4 * last, w->k) - 4 * first;
    if (n == w->y_stride) {
        n *= pixels;
        pixels = 1;
    }
    for (y += 4 * first; pixels > 0; pixels--, y += w->y_stride)
        me_table_row(w->scale->table, y, y, n);
}

/* Blocks first .. last-1 of `pixels` pixels, which are whole groups or one. */
static void run_blocks(work *w, me_block *b, int32_t pixels, int32_t first, int32_t last)
{
    int8_t *const y = b->y;
    const int32_t begins = first, in_block = at_most(pixels, 4), full = whole_fours(w->k), row = me_gemm_row_bytes(w->taps);
    b->y += 4 * first;
    b->weights = w->weights + (ptrdiff_t)(4 * row) * first;
    b->channels = w->channels + 4 * first;
    b->groups = pixels / in_block;
    b->blocks = at_most(last, full) - first;
    me_block_kernel *const *const kernels = me_block_kernels[in_block - 1];
    me_block_kernel *const whole = kernels[3];
    wait_for_operands(w);
    if (in_block == 1 && b->blocks > 1) {
        const int32_t pairs = b->blocks / 2;
        b->blocks = pairs;
        me_block_1x8(b);
        first += 2 * pairs;
        b->y += 8 * pairs;
        b->weights += (ptrdiff_t)(8 * row) * pairs;
        b->channels += 8 * pairs;
        b->blocks = at_most(last, full) - first;
    }
    if (b->blocks > 0)
        whole(b);
    if (last > full) {
        b->y += 4 * (full - first);
        b->weights = w->weights + (ptrdiff_t)(4 * row) * full;
        b->channels = w->channels + 4 * full;
        b->blocks = 1;
        kernels[(w->k & 3) - 1](b);
    }
    if (w->scale->table)
        look_up(w, y, pixels, begins, last);
}

/* What is the same for all blocks. */
static inline void begin(const work *w, me_block *b)
{
    const me_scale *scale = w->scale;
    b->y_stride = w->y_stride;
    b->steps = me_gemm_row_bytes(w->taps) / 4;
    b->x_step = w->x_step;
    b->pre = scale->pre;
    b->low = in_all_bytes(scale->low);
    b->high = in_all_bytes(scale->high);
    b->limits = scale->low > -128 || scale->high < 127;
}

/* One row, where it lies. */
static void run_row(work *w, int32_t first, int32_t last)
{
    me_block b;
    b.x = &w->x;
    b.rows = 0;
    b.y = w->y;
    begin(w, &b);
    run_blocks(w, &b, 1, first, last);
}

static void run_part(work *w, int32_t core, place from, place to)
{
    union {
        const int8_t *x[MOST_PIXELS];
        struct {
            const int8_t *x[MOST_PIXELS / 2];
            int32_t rows[MOST_PIXELS / 2];
        } both;
    } at;
    const int32_t blocks = fours(w->k);
    int32_t most = w->b_zero ? MOST_PIXELS / 8 : MOST_PIXELS / 4;
    int8_t *scratch = w->scratch;
    if (!w->in_place) {
        most = me_gemm_pixels(w->taps) / 4;
        scratch += core * 4 * most * me_gemm_row_stride(w->taps);
    }
    me_block b;
    b.x = at.x;
    b.rows = w->b_zero ? at.both.rows : 0;
    begin(w, &b);
    spot pixel = { 0, 0 };
    if (!w->in_step)
        pixel = spot_of(w, 4 * from.group);
    while (from.group < to.group || from.block < to.block) {
        const int32_t first = from.block;
        const int32_t last = from.group < to.group ? blocks : to.block;
        int32_t groups = 1;
        if (first == 0 && last == blocks)
            groups = at_most(most, at_most(to.group, whole_fours(w->pixels)) - from.group);
        groups = groups < 1 ? 1 : groups;
        const int32_t pixels = at_most(4 * groups, w->pixels - 4 * from.group);
        if (w->in_step)
            spread(w, 4 * from.group, pixels, at.x);
        if (!w->in_step || w->b_zero)
            wait_for_operands(w);
        if (!w->in_step)
            gather(w, &pixel, pixels, scratch, at.x);
        if (w->b_zero)
            add_rows(w, pixels, at.both.x, at.both.rows);
        b.y = w->y + (ptrdiff_t)(4 * from.group) * w->y_stride;
        run_blocks(w, &b, pixels, first, last);
        from = last == blocks ? (place){ from.group + groups, 0 } : to;
    }
}

static void run(work *w)
{
    const int32_t first = ME_FIRST_PART(w->cores), last = ME_END_PART(w->cores);
    if (w->pixels > 4) {
        run_part(w, first, place_of(w, first), place_of(w, last));
    } else {
        const int32_t blocks = fours(w->k);
        const int32_t from = me_share_of(w->cores, first, blocks), to = me_share_of(w->cores, last, blocks);
        if (from < to && w->pixels == 1 && w->in_place && w->b_zero == 0)
            run_row(w, from, to);
        else if (from < to)
            run_part(w, first, (place){ 0, from }, to == blocks ? (place){ 1, 0 } : (place){ 0, to });
    }
    wait_for_operands(w); /* where there was nothing to do */
}

/* ---- convolution */

static bool rows_in_one_piece(const me_conv_s8_params *conv)
{
    return conv->dilation_w == 1 || conv->k_w == 1;
}

/* The first of n windows, `stride` apart, that begins inside, `pad` being outside before it. */
static int32_t first_inside(int32_t pad, int32_t stride)
{
    return pad <= 0 ? 0 : (pad + stride - 1) / stride;
}

/* The first behind those that end inside `extent`. */
static int32_t end_inside(int32_t pad, int32_t stride, int32_t reach, int32_t extent, int32_t n)
{
    const int32_t room = extent + pad - reach;
    return room < 0 ? 0 : at_most(room / stride + 1, n);
}

/* Rows of x with their padding, by all cores. */
static void bring_padded(const me_conv_s8_params *conv, const me_conv_s8_tile *tile, int32_t rows, int32_t columns)
{
    const int32_t c = conv->c, left = at_most(tile->pad_left, columns);
    const int32_t middle = at_most(tile->w, columns - left);
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t from = row - tile->pad_top;
        int8_t *to = tile->padded + row * columns * c;
        if (from < 0 || from >= tile->h) {
            fill(&to, columns * c, conv->x_zero);
            continue;
        }
        fill(&to, left * c, conv->x_zero);
        copy(&to, tile->x + (ptrdiff_t)from * tile->row_stride, middle * c);
        fill(&to, (columns - left - middle) * c, conv->x_zero);
    }
    ME_SYNC();
}

/* From now on all windows lie inside. */
static ME_APART void use_padded(work *w)
{
    const me_conv_s8_params *conv = w->conv;
    const me_conv_s8_tile *tile = w->tile;
    const int32_t columns = me_conv_span(tile->ow, conv->k_w, conv->stride_w, conv->dilation_w);
    wait_for_operands(w);
    bring_padded(conv, tile, me_conv_span(tile->oh, conv->k_h, conv->stride_h, conv->dilation_h), columns);
    const int32_t row = columns * conv->c, rows_apart = conv->dilation_h * row;
    w->x = tile->padded;
    w->row_step = conv->stride_h * row;
    w->plane_step = rows_apart;
    if (rows_in_one_piece(conv))
        w->skip = rows_apart - w->piece;
    if (conv->narrow) {
        w->in_place = true;
        w->x_step = rows_apart;
        w->taps = 4 * conv->k_h;
        w->pieces = 1;
    }
}

/* Which windows lie inside. */
static ME_APART void find_edges(work *w)
{
    const me_conv_s8_params *conv = w->conv;
    const me_conv_s8_tile *tile = w->tile;
    const int32_t reach_h = me_conv_span(1, conv->k_h, 1, conv->dilation_h);
    const int32_t reach_w = me_conv_span(1, conv->k_w, 1, conv->dilation_w);
    w->first_row = first_inside(tile->pad_top, conv->stride_h);
    w->end_row = end_inside(tile->pad_top, conv->stride_h, reach_h, tile->h, tile->oh);
    w->first = first_inside(tile->pad_left, conv->stride_w);
    w->end = end_inside(tile->pad_left, conv->stride_w, reach_w, tile->w, tile->ow);
}

static void run_together(work *w);

void me_conv_s8(const me_conv_s8_params *conv, const me_conv_s8_tile *tile)
{
    const bool dense = rows_in_one_piece(conv);
    const int32_t rows_apart = conv->dilation_h * tile->row_stride;
    work w;
    w.conv = conv;
    w.tile = tile;
    w.scale = &conv->scale;
    w.x = tile->x - tile->pad_top * tile->row_stride - tile->pad_left * conv->c;
    w.row_step = conv->stride_h * tile->row_stride;
    w.step = conv->stride_w * conv->c;
    w.columns = tile->ow;
    w.piece = dense ? conv->k_w * conv->c : conv->c;
    w.pieces = dense ? conv->k_h : conv->k_w;
    w.skip = (dense ? rows_apart : conv->dilation_w * conv->c) - w.piece;
    w.planes = dense ? 1 : conv->k_h;
    w.plane_step = rows_apart;
    w.taps = conv->k_h * conv->k_w * conv->c;
    w.pixels = tile->oh * tile->ow;
    w.k = tile->k;
    w.weights = tile->weights;
    w.channels = tile->channels;
    w.y = tile->y;
    w.y_stride = tile->y_stride;
    w.scratch = tile->scratch;
    w.b_zero = 0;
    w.awaited = tile->awaited;
    w.cores = ME_TEAM(0);
    w.x_step = 4;
    w.matmul = 0;
    w.in_place = w.in_step = false;
    const bool inside = tile->pad_top <= 0 && tile->pad_left <= 0
        && me_conv_span(tile->oh, conv->k_h, conv->stride_h, conv->dilation_h) <= tile->h + tile->pad_top
        && me_conv_span(tile->ow, conv->k_w, conv->stride_w, conv->dilation_w) <= tile->w + tile->pad_left;
    w.first_row = w.first = 0;
    w.end_row = tile->oh;
    w.end = tile->ow;
    if (tile->padded && (conv->narrow || !inside))
        use_padded(&w);
    else if (inside && !conv->together) {
        w.in_place = lies_in_words(&w);
        w.in_step = w.in_place && w.row_step == w.columns * w.step;
    } else if (!inside)
        find_edges(&w);
    if (conv->together)
        run_together(&w);
    else
        run(&w);
}

/* ---- rows: windows of one piece, all inside */

static void take_rows(work *w, const int8_t *x, int32_t rows, int32_t step, int32_t taps)
{
    w->x = x;
    w->row_step = w->first_row = w->first = 0;
    w->step = step;
    w->columns = w->pixels = w->end = rows;
    w->end_row = w->pieces = w->planes = 1;
    w->piece = w->taps = taps;
    w->skip = w->plane_step = 0;
    w->cores = ME_TEAM(0);
    w->x_step = 4;
    w->matmul = 0;
    w->in_place = w->in_step = lies_in_words(w);
}

void me_linear_s8(const me_linear_s8_params *linear, const me_linear_s8_tile *tile)
{
    work w;
    take_rows(&w, tile->x, tile->rows, tile->x_stride, linear->c);
    w.cores = ME_TEAM(linear->helped);
    w.scale = &linear->scale;
    w.k = tile->k;
    w.weights = tile->weights;
    w.channels = tile->channels;
    w.y = tile->y;
    w.y_stride = tile->y_stride;
    w.scratch = tile->scratch;
    w.b_zero = 0;
    w.awaited = tile->awaited;
    run(&w);
}

/* ---- matrix product: b is packed like weights first, by all cores */

#define ONES 0x01010101u

/* `left` taps from here on, at most four; zeros behind. */
static uint32_t last_taps(const int8_t *at, int32_t along, int32_t left)
{
    int32_t taps[4] = { 0 };
    for (int32_t i = 0; i < left; i++)
        taps[i] = me_step_b(&at, along);
    return me_pack_b(taps[0], taps[1], taps[2], taps[3]);
}

static uint32_t four_taps(const int8_t *at, int32_t along)
{
    const int32_t one = me_step_b(&at, along), two = me_step_b(&at, along), three = me_step_b(&at, along);
    return me_pack_b(one, two, three, me_step_b(&at, along));
}

static me_channel *channels_of(const me_matmul_s8_tile *tile) { return (me_channel *)(void *)tile->scratch; }

static int8_t *packed_of(const me_matmul_s8_tile *tile) { return (int8_t *)(channels_of(tile) + tile->n); }

static int32_t *sums_of(me_channel *channel) { return (int32_t *)(void *)channel; }

/* Taps c .. end-1 of a block of columns, one by one; adds to their sums. */
static ME_APART void pack_rest(const work *w, int32_t first, int32_t c, int32_t end, int8_t *to, int32_t *sum)
{
    const me_matmul_s8_tile *tile = w->factors;
    const int32_t across = w->matmul->b_transposed ? tile->b_stride : 1;
    const int32_t along = w->matmul->b_transposed ? 1 : tile->b_stride;
    const int32_t columns = at_most(4, tile->n - first);
    const int8_t *from = tile->b + first * across + c * along;
    for (; c < end; c += 4, from += 4 * along)
        for (int32_t i = 0; i < columns; i++) {
            const int8_t *at = from + i * across;
            const uint32_t taps = end - c < 4 ? last_taps(at, along, end - c) : four_taps(at, along);
            sum[4 * i] = me_sdotsp_b(sum[4 * i], taps, ONES);
            me_put_w(&to, taps);
        }
}

/* Part `part` of 2^cut of the taps of a block of columns; channels hold the sum of each column and
 * part meanwhile. */
static inline void pack_part(const work *w, int32_t first, int32_t part, int32_t cut)
{
    const me_matmul_s8_params *matmul = w->matmul;
    const me_matmul_s8_tile *tile = w->factors;
    const int32_t columns = at_most(4, tile->n - first), words = whole_fours(matmul->c);
    const int32_t from = words * part >> cut, some = (words * (part + 1) >> cut) - from;
    const int32_t end = (part + 1) >> cut ? matmul->c : 4 * (from + some);
    int32_t *const sum = sums_of(channels_of(tile) + first) + part;
    int32_t c = 4 * from;
    int8_t *to = packed_of(tile) + (ptrdiff_t)first * me_gemm_row_bytes(matmul->c) + columns * c;
    if (columns == 4 && some > 0) {
        to = matmul->b_transposed
            ? me_interleave_rows(tile->b + first * tile->b_stride + c, tile->b_stride, some, to, sum)
            : me_interleave_columns(tile->b + first + c * tile->b_stride, tile->b_stride, some, to, sum);
        c += 4 * some;
    } else
        for (int32_t i = 0; i < columns; i++)
            sum[4 * i] = 0;
    if (c < end)
        pack_rest(w, first, c, end, to, sum);
}

/* Into how many parts of its taps, as a power of two, a block of columns is cut, so that eight cores
 * have equally much to do. */
static int32_t cut_of(int32_t blocks)
{
    const int32_t whole = (blocks + 7) >> 3 << 2, halves = (2 * blocks + 7) >> 3 << 1;
    const int32_t quarters = (4 * blocks + 7) >> 3;
    return whole <= halves && whole <= quarters ? 0 : halves <= quarters ? 1 : 2;
}

/* Channels first .. end-1 out of the sums of their columns. */
static inline void make_channels(const work *w, int32_t first, int32_t end, int32_t parts)
{
    const me_matmul_s8_params *matmul = w->matmul;
    const int32_t mult = matmul->mult, offset = matmul->offset, shift = matmul->shift;
    const int32_t a_zero = matmul->a_zero, of_zeros = a_zero * matmul->c * matmul->b_zero;
    me_channel *channel = channels_of(w->factors) + first;
    for (; first < end; first++, channel++) {
        int32_t sum = 0;
        for (int32_t part = 0; part < parts; part++)
            sum += sums_of(channel)[part];
        *channel = (me_channel){ of_zeros - a_zero * sum, mult, offset, shift };
    }
}

/* Packed b, and channels for its columns, by eight cores. Where columns are whole, each makes the
 * channels of its own. */
static ME_APART void pack_columns(work *w)
{
    const int32_t n = w->factors->n, blocks = fours(n), cut = cut_of(blocks), units = blocks << cut;
    const int32_t first = ME_FIRST(units), last = ME_LAST(units);
    wait_now(w);
    for (int32_t unit = first; unit < last; unit++)
        pack_part(w, 4 * (unit >> cut), unit & ((1 << cut) - 1), cut);
    if (cut > 0)
        ME_SYNC();
    const int32_t end = cut > 0 ? ME_LAST(n) : at_most(4 * last, n);
    make_channels(w, cut > 0 ? ME_FIRST(n) : 4 * first, end, 1 << cut);
}

/* By each core but the one that steers, which comes late. A second wait for operands, which it has
 * come to before, is one for all that pack, too. */
static ME_APART void pack_now(work *w)
{
    const bool once = w->awaited < 2;
    if (!ME_STEERS())
        pack_columns(w);
    wait_now(w);
    if (once)
        ME_SYNC_OF(w->cores);
    w->awaited = 0;
    w->matmul = 0;
}

void me_matmul_s8(const me_matmul_s8_params *matmul, const me_matmul_s8_tile *tile)
{
    work w;
    take_rows(&w, tile->a, tile->m, tile->a_stride, matmul->c);
    w.cores = ME_TEAM(matmul->helped);
    w.scale = &matmul->scale;
    w.k = tile->n;
    w.weights = packed_of(tile);
    w.channels = channels_of(tile);
    w.y = tile->y;
    w.y_stride = tile->y_stride;
    w.scratch = packed_of(tile) + (ptrdiff_t)tile->n * me_gemm_row_bytes(matmul->c);
    w.b_zero = matmul->b_zero;
    w.awaited = tile->awaited;
    w.matmul = tile->packed ? 0 : matmul;
    w.factors = tile;
    run(&w);
}

/* ---- convolutions of many taps */

/* All windows, each once, by all cores: rows in words from now on. */
static ME_APART void gather_together(work *w)
{
    wait_for_operands(w);
    const int32_t row = me_gemm_row_stride(w->taps), last = ME_LAST(w->pixels);
    int8_t *rows = w->scratch;
    for (int32_t pixel = ME_FIRST(w->pixels); pixel < last;) {
        const spot at = spot_of(w, pixel);
        const bool inside = at.i >= w->first_row && at.i < w->end_row && at.j >= w->first && at.j < w->end;
        const int32_t n = inside ? at_most(last - pixel, w->end - at.j) : 1;
        int8_t *to = rows + (ptrdiff_t)pixel * row;
        if (inside)
            copy_whole(w, w->x + (ptrdiff_t)at.i * w->row_step + (ptrdiff_t)at.j * w->step, to, n);
        else
            copy_padded(w, at.i, at.j, to);
        pixel += n;
    }
    ME_SYNC();
    take_rows(w, rows, w->pixels, row, w->taps);
}

/* How many pixels, 2 or 1, a block should have where those of 4 leave cores without work; else 0. */
static ME_APART int32_t thin_block(const work *w)
{
    const int32_t blocks = (w->k + 3) / 4, groups = (w->pixels + 3) / 4;
    int32_t best = 24 * ((groups * blocks + 7) / 8), found = 0;
    for (int32_t size = 2; size > 0; size--) {
        const int32_t cost = (5 * size + 4) * ((w->pixels / size * blocks + 7) / 8);
        if (w->pixels % size == 0 && cost < best) {
            best = cost;
            found = size;
        }
    }
    return found;
}

/* Blocks of so many pixels, all of which are read where they lie. */
static ME_APART void run_thin(work *w)
{
    const int32_t size = thin_block(w), blocks = (w->k + 3) / 4;
    const int32_t units = w->pixels / size * blocks, end = ME_LAST(units);
    const int8_t *x[4];
    me_block b;
    b.x = x;
    b.rows = 0;
    begin(w, &b);
    for (int32_t unit = ME_FIRST(units); unit < end;) {
        const int32_t group = unit / blocks, first = unit - group * blocks;
        const int32_t last = at_most(blocks, first + end - unit);
        for (int32_t i = 0; i < size; i++)
            x[i] = w->x + (ptrdiff_t)(size * group + i) * w->step;
        b.x = x;
        b.y = w->y + (ptrdiff_t)(size * group) * w->y_stride;
        run_blocks(w, &b, size, first, last);
        unit += last - first;
    }
}

static ME_APART void run_together(work *w)
{
    gather_together(w);
    if (thin_block(w) > 0)
        run_thin(w);
    else
        run(w);
}
