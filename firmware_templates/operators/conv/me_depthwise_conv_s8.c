/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise_conv_s8.h"

#include <stdbool.h>

#include "me_depthwise_pixels_s8.h"
#include "me_depthwise_rows.h"
#include "me_math.h"
#include "me_share.h"

static bool is_3x3(const me_conv_s8_params *op)
{
    return op->k_h == 3 && op->k_w == 3 && op->dilation_h == 1 && op->dilation_w == 1;
}

static int32_t blocks_per_kernel(const me_conv_s8_params *op)
{
    return op->k_h == 3 && op->k_w == 3 ? 3 : (op->k_h * op->k_w + 3) / 4;
}

static uint32_t repeat_byte(int32_t x) { return me_pack_b(x, x, x, x); }

/* ---- scratch: an odd number of words per core, so that cores in step access different banks */

#define VECTORS_AT 4 /* offset in scratch: after a word of padding */

static bool uses_strips(const me_conv_s8_params *op, int32_t channels)
{
    return is_3x3(op) && op->stride_h == 1 && op->stride_w == 1 && channels >= 4;
}

/* Bytes of scratch per core for tiles with this number of channels and at most ow columns. */
static int32_t scratch_of_core(const me_conv_s8_params *op, int32_t channels, int32_t ow)
{
    const int32_t strip = 1 + 4 * (ow + 2);
    const int32_t lists = 8 * blocks_per_kernel(op) * (int32_t)sizeof(intptr_t) / 4;
    const int32_t taps = lists + (channels + 3) / 4;
    return 4 * ((uses_strips(op, channels) ? strip : taps) | 1);
}

/* ---- any window, not optimised */

static const int8_t *tap_weights(const me_depthwise_job *job, int32_t group, int32_t r, int32_t s)
{
    const int32_t t = job->op->k_h == 3 && job->op->k_w == 3 ? 4 * s + r : r * job->op->k_w + s;
    return job->tile->weights + 16 * (group * job->blocks + t / 4) + t % 4;
}

/* Sums one window of channel c, for tiles with fewer than four channels. */
static int32_t sum_window(const me_depthwise_job *job, int32_t oy, int32_t ox, int32_t c)
{
    const me_conv_s8_params *op = job->op;
    const me_conv_s8_tile *tile = job->tile;
    int32_t acc = tile->channels[c].bias;
    for (int32_t r = 0; r < op->k_h; r++)
        for (int32_t s = 0; s < op->k_w; s++) {
            const int32_t y = oy * op->stride_h + r * op->dilation_h - tile->pad_top;
            const int32_t x = ox * op->stride_w + s * op->dilation_w - tile->pad_left;
            const bool inside = y >= 0 && y < tile->h && x >= 0 && x < tile->w;
            const int32_t value = inside ? tile->x[y * tile->row_stride + x * tile->k + c] : op->x_zero;
            acc += value * tap_weights(job, 0, r, s)[4 * c];
        }
    return acc;
}

static int8_t requantise(const me_scale *scale, const me_channel *c, int32_t acc)
{
    const int32_t q = me_requant(acc, scale->pre, c->mult, c->offset, c->shift);
    const int8_t limited = me_clip(q, scale->low, scale->high);
    return scale->table ? me_lookup(scale->table, limited) : limited;
}

static void run_few_channels(const me_depthwise_job *job)
{
    const me_conv_s8_tile *tile = job->tile;
    const int32_t n = tile->oh * tile->ow;
    for (int32_t pixel = ME_FIRST(n); pixel < ME_LAST(n); pixel++)
        for (int32_t c = 0; c < tile->k; c++) {
            const int32_t acc = sum_window(job, pixel / tile->ow, pixel % tile->ow, c);
            tile->y[pixel * tile->y_stride + c] = requantise(&job->op->scale, tile->channels + c, acc);
        }
}

/* ---- 3 x 3, stride 1: a strip is two rows of results; its input rows become vectors of four rows, two of
 * which the next strip reuses */

/* Parameters that all pairs of rows of four channels share. */
typedef struct {
    const int8_t *x, *padding;
    int8_t *to;
    int32_t h, row_stride, step, channel_bytes, n;
} me_pairs;

static me_pairs describe_pairs(const me_depthwise_job *job, int32_t channel)
{
    const me_conv_s8_tile *tile = job->tile;
    const int32_t vectors = tile->ow + 2, start = me_min(tile->pad_left, vectors);
    return (me_pairs){
        tile->x + channel, job->scratch, job->scratch + VECTORS_AT + 4 * start, tile->h, tile->row_stride,
        tile->k,           4 * vectors,  me_min(tile->w, vectors - start),
    };
}

static void fill_pairs(const me_pairs *pairs, int32_t row, int32_t half)
{
    const int8_t *a = pairs->x + row * pairs->row_stride, *b = a + pairs->row_stride;
    int32_t a_step = pairs->step, b_step = a_step;
    if ((uint32_t)row >= (uint32_t)pairs->h)
        a = pairs->padding, a_step = 0;
    if ((uint32_t)(row + 1) >= (uint32_t)pairs->h)
        b = pairs->padding, b_step = 0;
    if (pairs->n > 0)
        me_depthwise_pairs(a, b, a_step, b_step, pairs->to + 2 * half, pairs->channel_bytes, pairs->n);
}

/* Fills the vectors left and right of the input with padding; all strips use them unchanged. */
static void fill_sides(const me_depthwise_job *job)
{
    const int32_t vectors = job->tile->ow + 2, first = job->tile->pad_left;
    const uint32_t padding = repeat_byte(job->op->x_zero);
    int8_t *word = job->scratch;
    me_put_w(&word, padding);
    for (int32_t c = 0; c < 4; c++)
        for (int32_t i = 0; i < vectors; i++) {
            if (i == first && job->tile->w > 0)
                i += job->tile->w;
            if (i >= vectors)
                break;
            word = job->scratch + VECTORS_AT + 4 * (c * vectors + i);
            me_put_w(&word, padding);
        }
}

static void (*strip_kernel(const me_scale *scale))(const me_depthwise_two *)
{
    if (scale->table)
        return me_depthwise_strip_table;
    if (scale->pre)
        return me_depthwise_strip_pre;
    return scale->low == -128 && scale->high == 127 ? me_depthwise_strip : me_depthwise_strip_limits;
}

/* Computes strips [strip, end) of four channels. */
static void run_group(const me_depthwise_job *job, int32_t group, int32_t strip, int32_t end)
{
    const me_conv_s8_tile *tile = job->tile;
    const me_scale *scale = &job->op->scale;
    const int32_t channel = me_min(4 * group, tile->k - 4), row_bytes = tile->ow * tile->y_stride;
    const me_pairs pairs = describe_pairs(job, channel);
    me_depthwise_two two = {
        job->scratch + VECTORS_AT,
        pairs.channel_bytes,
        tile->weights + 48 * group,
        tile->channels + channel,
        tile->y + 2 * strip * row_bytes + channel,
        0,
        tile->y_stride,
        tile->ow / 3,
        tile->ow % 3,
        strip % 2 * 16,
        scale->pre,
        scale->low,
        scale->high,
        job->zero,
    };
    void (*const run)(const me_depthwise_two *) = strip_kernel(scale);
    int32_t row = 2 * strip - tile->pad_top;
    fill_pairs(&pairs, row, strip % 2);
    for (; strip < end; strip++) {
        row += 2;
        fill_pairs(&pairs, row, (strip + 1) % 2);
        /* no lower row: both results are stored at the same address, the upper one last */
        two.lower = two.upper + (2 * strip + 1 < tile->oh ? row_bytes : 0);
        run(&two);
        two.upper += 2 * row_bytes;
        two.turn ^= 16;
    }
}

static void run_strips(const me_depthwise_job *job)
{
    const int32_t strips = (job->tile->oh + 1) / 2, n = job->groups * strips;
    int32_t at = ME_FIRST(n);
    const int32_t last = ME_LAST(n);
    if (at < last)
        fill_sides(job);
    while (at < last) {
        const int32_t group = at / strips, strip = at - group * strips;
        const int32_t end = me_min(strips, strip + last - at);
        run_group(job, group, strip, end);
        at += end - strip;
    }
}

/* ---- 3 x 3, horizontal stride 2, row by row */

static bool is_simple_scale(const me_scale *scale)
{
    return scale->low == -128 && scale->high == 127 && !scale->pre && !scale->table;
}

/* Number of result rows, at most `most`, from the one whose window starts in row `top` on, that read no
 * padding above or below. */
static int32_t rows_inside(const me_depthwise_job *job, int32_t top, int32_t most)
{
    const int32_t below = job->tile->h - 3 - top;
    return top < 0 || below < 0 ? 0 : me_min(most, below / job->op->stride_h + 1);
}

static void set_tap_rows(const me_depthwise_job *job, int32_t top, int32_t channel, me_depthwise_halving *row)
{
    const me_conv_s8_tile *tile = job->tile;
    for (int32_t r = 0, y = top; r < 3; r++, y++) {
        const bool inside = y >= 0 && y < tile->h;
        row->rows[r] = inside ? tile->x + y * tile->row_stride + channel : job->scratch;
        row->steps[r] = inside ? tile->k : 0;
    }
}

/* Computes units from `at` on, at most `most`; a unit is a row of four channels. -> number of computed
 * units */
static int32_t run_stride_2_rows(const me_depthwise_job *job, me_depthwise_halving *row, int32_t at,
                                 int32_t most)
{
    const me_conv_s8_tile *tile = job->tile;
    const int32_t group = at / tile->oh, oy = at - group * tile->oh, left = me_min(tile->oh - oy, most);
    const int32_t channel = tile->k < 4 ? 0 : me_min(4 * group, tile->k - 4);
    const int32_t top = oy * job->op->stride_h - tile->pad_top;
    row->y = tile->y + oy * tile->ow * tile->y_stride + channel;
    row->weights = tile->weights + 48 * group;
    row->channels = tile->channels + channel;
    set_tap_rows(job, top, channel, row);
    row->row_count = tile->k >= 4 && is_simple_scale(&job->op->scale) ? rows_inside(job, top, left) : 0;
    if (row->row_count > 0) {
        me_depthwise_rows_2(row);
        return row->row_count;
    }
    me_depthwise_row_2(row);
    return 1;
}

static void run_stride_2(const me_depthwise_job *job)
{
    const me_conv_s8_params *op = job->op;
    const me_conv_s8_tile *tile = job->tile;
    const int32_t n = job->groups * tile->oh, right = tile->pad_left + tile->w, last = ME_LAST(n);
    int8_t *word = job->scratch;
    me_depthwise_halving row = {
        .y_step = tile->y_stride,
        .n = me_min(tile->ow, (right - 1) / 2),
        .first = tile->pad_left == 0,
        .padding = repeat_byte(op->x_zero),
        .count = me_min(tile->k, 4),
        .pre = op->scale.pre,
        .low = op->scale.low,
        .high = op->scale.high,
        .zero = job->zero,
        .down = op->stride_h * tile->row_stride,
    };
    row.tail = tile->ow - row.n;
    me_put_w(&word, row.padding);
    for (int32_t at = ME_FIRST(n); at < last;)
        at += run_stride_2_rows(job, &row, at, last - at);
}

/* Whether all columns of all windows are inside the input, except the first window's first and the last
 * window's last column. */
static bool pads_outer_columns_only(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    const int32_t most = 2 * tile->ow + 1, right = tile->pad_left + tile->w;
    return is_3x3(op) && op->stride_w == 2 && tile->pad_left <= 1 && right >= most - 1;
}

void me_depthwise_conv_s8(const me_conv_s8_params *op, const me_conv_s8_tile *tile)
{
    const int32_t own = scratch_of_core(op, tile->k, tile->ow) * ME_CORE();
    const me_depthwise_job job = {
        op,
        tile,
        tile->scratch + own,
        op->scale.table ? op->scale.table + 128 : 0,
        (tile->k + 3) / 4,
        blocks_per_kernel(op),
    };
    if (uses_strips(op, tile->k))
        run_strips(&job);
    else if (pads_outer_columns_only(op, tile))
        run_stride_2(&job);
    else if (tile->k < 4)
        run_few_channels(&job);
    else
        me_depthwise_pixels_s8(&job);
}
