/* SPDX-License-Identifier: Apache-2.0 */
#include "me_dense.h"

#include <stdbool.h>
#include <stddef.h>

#include "me_dense_block.h"
#include "me_intrinsics.h"
#include "me_share.h"

#define MOST_PIXELS 16

static int32_t at_most(int32_t a, int32_t b) { return a < b ? a : b; }

static uint32_t in_all_bytes(int32_t limit) { return ((uint32_t)limit & 0xFFu) * 0x01010101u; }

/* Pixels times channels. A pixel's taps are a window of x: `pieces` pieces of `piece` bytes, `skip`
 * bytes between them, and that `planes` times, plane_step apart. Window (i, j) starts at
 * x + i * row_step + j * step; those from (first_row, first) to before (end_row, end) lie inside x.
 * A window is read where it lies, if it is one piece, else copied into this core's scratch. */
typedef struct {
    const int8_t *x;
    int32_t row_step, step, columns; /* columns: pixels of a row */
    int32_t first_row, end_row, first, end;
    int32_t piece, pieces, skip, planes, plane_step;
    int32_t b_zero;                  /* of what takes the place of weights, in a matrix product */
    int32_t pixels, k, taps, y_stride;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y, *scratch;
    const me_scale *scale;
    const me_conv *conv;             /* only where windows reach over an edge */
    const me_conv_tile *tile;
} work;

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
    const me_conv *conv = w->conv;
    const me_conv_tile *tile = w->tile;
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
    const int32_t row = me_dense_row(w->taps) + 4;
    me_windows four = { from, w->step, to, row, w->pieces, w->piece / 4, w->piece % 4, w->skip };
    for (int32_t plane = 0; plane < w->planes; plane++) {
        int32_t done = 0;
        if (n < 4)
            four.from_step = four.to_step = 0; /* one, four times */
        while (done < n) {
            four.from = from + done * w->step;
            four.to = to + done * row;
            me_copy_windows(&four);
            done += n < 4 ? 1 : n - done > 4 ? at_most(4, n - done - 4) : 4;
        }
        from += w->plane_step;
        to += w->piece * w->pieces;
    }
}

/* x[i]: where pixel first + i is read */
static void gather(const work *w, int32_t first, int32_t count, int8_t *scratch, const int8_t **x)
{
    const int32_t row = me_dense_row(w->taps) + 4;
    const bool in_place = w->pieces * w->planes == 1 && w->taps % 4 == 0;
    int32_t i = 0, j = first;
    if (first >= w->columns) {
        i = first / w->columns;
        j = first - i * w->columns;
    }
    while (count > 0) {
        const int8_t *from = w->x + (ptrdiff_t)i * w->row_step + (ptrdiff_t)j * w->step;
        int32_t n = 1;
        if (i < w->first_row || i >= w->end_row || j < w->first || j >= w->end) {
            copy_padded(w, i, j, scratch);
        } else {
            n = at_most(count, w->end - j);
            if (in_place && (((uintptr_t)from | (uint32_t)w->step) & 3) == 0) {
                for (int32_t p = 0; p < n; p++, from += w->step)
                    *x++ = from;
                goto next;
            }
            copy_whole(w, from, scratch, n);
        }
        for (int32_t p = 0; p < n; p++, scratch += row)
            *x++ = scratch;
    next:
        count -= n;
        j += n;
        if (j == w->columns) {
            j = 0;
            i++;
        }
    }
}

/* What -b_zero adds to the sums of each pixel. */
static void add_rows(const work *w, int32_t count, const int8_t *const *x, int32_t *rows)
{
    for (int32_t i = 0; i < count; i++) {
        const int8_t *at = x[i];
        int32_t sum = 0, left = w->taps;
        for (; left >= 4; left -= 4)
            sum = me_sdotsp_b(sum, me_next_w(&at), 0x01010101u);
        for (; left > 0; left--)
            sum += me_next_b(&at);
        rows[i] = -w->b_zero * sum;
    }
}

/* ---- who does what: blocks of 4x4 in the order of groups of pixels, by what they cost */

typedef struct {
    int32_t group, block;
} place;

/* Cycles, about. */
static int32_t cost(int32_t pixels, int32_t channels, int32_t steps)
{
    const int32_t products = pixels * channels;
    return products == 0 ? 0 : steps * (products + pixels + channels) + 6 * products + 20;
}

/* The place before which `part` of 8 of all work is done. */
static place place_of(const work *w, int32_t part)
{
    const int32_t steps = me_dense_row(w->taps) / 4, blocks = (w->k + 3) / 4;
    const int32_t whole = w->pixels / 4, full = w->k / 4;
    const int32_t block = cost(4, 4, steps), last = cost(w->pixels % 4, 4, steps);
    const int32_t group = full * block + cost(4, w->k % 4, steps);
    const int32_t all = whole * group + full * last + cost(w->pixels % 4, w->k % 4, steps);
    const int32_t at = part * (all / 8) + part * (all % 8) / 8;
    const int32_t groups = at_most(at / group, whole);
    const int32_t one = groups < whole ? block : last;
    place found = { groups, one == 0 ? 0 : at_most((at - groups * group + one / 2) / one, blocks) };
    if (part == 8 || found.block == blocks)
        found = part == 8 ? (place){ (w->pixels + 3) / 4, 0 } : (place){ groups + 1, 0 };
    return found;
}

/* Blocks first .. last-1 of `pixels` pixels, which are whole groups or one. */
static void run_blocks(const work *w, me_block *b, int32_t pixels, int32_t first, int32_t last)
{
    const int32_t in_block = at_most(pixels, 4), full = w->k / 4, row = me_dense_row(w->taps);
    b->y += 4 * first;
    b->weights = w->weights + (ptrdiff_t)(4 * row) * first;
    b->channels = w->channels + 4 * first;
    b->groups = pixels / in_block;
    b->blocks = at_most(last, full) - first;
    if (b->blocks > 0)
        me_block_kernels[in_block - 1][3](b);
    if (last > full) {
        b->y += 4 * (full - first);
        b->weights = w->weights + (ptrdiff_t)(4 * row) * full;
        b->channels = w->channels + 4 * full;
        b->blocks = 1;
        me_block_kernels[in_block - 1][w->k % 4 - 1](b);
    }
}

static void run_part(const work *w, int32_t core, place from, place to)
{
    const int8_t *x[MOST_PIXELS];
    int32_t rows[MOST_PIXELS];
    const int32_t blocks = (w->k + 3) / 4, most = me_dense_pixels(w->taps) / 4;
    int8_t *scratch = w->scratch;
    if (scratch)
        scratch += core * 4 * most * (me_dense_row(w->taps) + 4);
    const me_scale *scale = w->scale;
    me_block b;
    b.x = x;
    b.rows = w->b_zero ? rows : 0;
    b.y_stride = w->y_stride;
    b.steps = me_dense_row(w->taps) / 4;
    b.pre = scale->pre;
    b.low = in_all_bytes(scale->low);
    b.high = in_all_bytes(scale->high);
    b.table = scale->table ? scale->table + 128 : 0;
    b.special = scale->table || scale->low > -128 || scale->high < 127;
    while (from.group < to.group || from.block < to.block) {
        const int32_t first = from.block;
        const int32_t last = from.group < to.group ? blocks : to.block;
        int32_t groups = 1;
        if (first == 0 && last == blocks)
            groups = at_most(most, at_most(to.group, w->pixels / 4) - from.group);
        groups = groups < 1 ? 1 : groups;
        const int32_t pixels = at_most(4 * groups, w->pixels - 4 * from.group);
        gather(w, 4 * from.group, pixels, scratch, x);
        if (w->b_zero)
            add_rows(w, pixels, x, rows);
        b.y = w->y + (ptrdiff_t)(4 * from.group) * w->y_stride;
        run_blocks(w, &b, pixels, first, last);
        from = last == blocks ? (place){ from.group + groups, 0 } : to;
    }
}

static void run(const work *w)
{
    const int32_t first = ME_FIRST(8), last = ME_LAST(8);
    run_part(w, first, place_of(w, first), place_of(w, last));
}

/* ---- convolution */

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

void me_conv_run(const me_conv *conv, const me_conv_tile *tile)
{
    const bool dense = conv->dilation_w == 1 || conv->k_w == 1;
    const int32_t reach_h = (conv->k_h - 1) * conv->dilation_h + 1;
    const int32_t reach_w = (conv->k_w - 1) * conv->dilation_w + 1;
    const int32_t rows_apart = conv->dilation_h * tile->row_stride;
    work w;
    w.conv = conv;
    w.tile = tile;
    w.scale = &conv->scale;
    w.x = tile->x - tile->pad_top * tile->row_stride - tile->pad_left * conv->c;
    w.row_step = conv->stride_h * tile->row_stride;
    w.step = conv->stride_w * conv->c;
    w.columns = tile->ow;
    w.first_row = first_inside(tile->pad_top, conv->stride_h);
    w.end_row = end_inside(tile->pad_top, conv->stride_h, reach_h, tile->h, tile->oh);
    w.first = first_inside(tile->pad_left, conv->stride_w);
    w.end = end_inside(tile->pad_left, conv->stride_w, reach_w, tile->w, tile->ow);
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
}

void me_linear_run(const me_linear *linear, const me_linear_tile *tile)
{
    work w;
    take_rows(&w, tile->x, tile->rows, tile->x_stride, linear->c);
    w.scale = &linear->scale;
    w.k = tile->k;
    w.weights = tile->weights;
    w.channels = tile->channels;
    w.y = tile->y;
    w.y_stride = tile->y_stride;
    w.scratch = tile->scratch;
    w.b_zero = 0;
    run(&w);
}

/* ---- matrix product: b is packed like weights first, by all cores */

/* Four taps of column n from c on; zeros behind the last. */
static uint32_t taps_of(const me_matmul *matmul, const me_matmul_tile *tile, int32_t n, int32_t c)
{
    const int32_t step = matmul->b_turned ? 1 : tile->b_stride;
    const int8_t *at = tile->b + (matmul->b_turned ? n * tile->b_stride + c : n + c * step);
    const int32_t left = matmul->c - c;
    if (left >= 4 && matmul->b_turned)
        return me_next_w(&at);
    const int32_t b0 = me_step_b(&at, step), b1 = left > 1 ? me_step_b(&at, step) : 0;
    const int32_t b2 = left > 2 ? me_step_b(&at, step) : 0, b3 = left > 3 ? *at : 0;
    return me_pack_b(b0, b1, b2, b3);
}

static void pack_block(const me_matmul *matmul, const me_matmul_tile *tile, int32_t first,
                       int8_t *packed, me_channel *channels)
{
    const int32_t columns = at_most(4, tile->n - first);
    int32_t sum[4] = { 0 };
    int8_t *to = packed + (ptrdiff_t)first * me_dense_row(matmul->c);
    for (int32_t c = 0; c < matmul->c; c += 4)
        for (int32_t i = 0; i < columns; i++) {
            const uint32_t taps = taps_of(matmul, tile, first + i, c);
            sum[i] = me_sdotsp_b(sum[i], taps, 0x01010101u);
            me_put_w(&to, taps);
        }
    for (int32_t i = 0; i < columns; i++) {
        const int32_t bias = matmul->a_zero * (matmul->c * matmul->b_zero - sum[i]);
        channels[first + i] = (me_channel){ bias, matmul->mult, matmul->offset, matmul->shift };
    }
}

void me_matmul_run(const me_matmul *matmul, const me_matmul_tile *tile)
{
    const int32_t blocks = (tile->n + 3) / 4;
    int8_t *packed = tile->scratch + tile->n * (int32_t)sizeof(me_channel);
    me_channel *channels = (me_channel *)(void *)tile->scratch;
    for (int32_t block = ME_FIRST(blocks); block < ME_LAST(blocks); block++)
        pack_block(matmul, tile, 4 * block, packed, channels);
    ME_SYNC();
    work w;
    take_rows(&w, tile->a, tile->m, tile->a_stride, matmul->c);
    w.scale = &matmul->scale;
    w.k = tile->n;
    w.weights = packed;
    w.channels = channels;
    w.y = tile->y;
    w.y_stride = tile->y_stride;
    w.scratch = packed + (ptrdiff_t)tile->n * me_dense_row(matmul->c);
    w.b_zero = matmul->b_zero;
    run(&w);
}
