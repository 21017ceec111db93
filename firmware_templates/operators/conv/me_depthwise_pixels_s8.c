/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise_pixels_s8.h"

#include <stdbool.h>

#include "me_depthwise_rows.h"
#include "me_math.h"
#include "me_share.h"

static intptr_t *tap_of(const me_depthwise_job *job, intptr_t *taps, int32_t r, int32_t s)
{
    const me_conv_s8_params *op = job->op;
    return taps + (op->k_h == 3 && op->k_w == 3 ? 4 * s + r : r * op->k_w + s);
}

/* Lists the taps of windows that are inside the input: the same offsets for all of them. */
static void list_inside(const me_depthwise_job *job, intptr_t *taps)
{
    const me_conv_s8_params *op = job->op;
    for (int32_t t = 0; t < 4 * job->blocks; t++)
        taps[t] = 0; /* the taps that fill the last block of four have the weight 0 */
    for (int32_t r = 0; r < op->k_h; r++)
        for (int32_t s = 0; s < op->k_w; s++)
            *tap_of(job, taps, r, s) =
                r * op->dilation_h * job->tile->row_stride + s * op->dilation_w * job->tile->k;
}

/* Lists the taps of a window that crosses an edge; taps outside the input point to padding. */
static void list_at_border(const me_depthwise_job *job, const intptr_t *inside, intptr_t *taps, int32_t top,
                           int32_t left, intptr_t padding)
{
    const me_conv_s8_params *op = job->op;
    const me_conv_s8_tile *tile = job->tile;
    for (int32_t t = 0; t < 4 * job->blocks; t++)
        taps[t] = padding;
    for (int32_t r = 0, y = top; r < op->k_h; r++, y += op->dilation_h)
        for (int32_t s = 0, x = left; s < op->k_w; s++, x += op->dilation_w)
            if (y >= 0 && y < tile->h && x >= 0 && x < tile->w) {
                intptr_t *tap = tap_of(job, taps, r, s);
                *tap = inside[tap - taps];
            }
}

static bool lies_inside(const me_depthwise_job *job, int32_t top, int32_t left)
{
    const me_conv_s8_params *op = job->op;
    const int32_t bottom = top + (op->k_h - 1) * op->dilation_h;
    const int32_t right = left + (op->k_w - 1) * op->dilation_w;
    return top >= 0 && left >= 0 && bottom < job->tile->h && right < job->tile->w;
}

/* Computes units from `at` on to the end of the pixel, at most `most`. -> number of computed units */
static int32_t run_pixel(const me_depthwise_job *job, me_depthwise_any *any, int32_t at, int32_t most,
                         intptr_t *lists, const int8_t *padding)
{
    const me_conv_s8_tile *tile = job->tile;
    const int32_t pixel = at / job->groups, group = at - pixel * job->groups;
    const int32_t oy = pixel / tile->ow, ox = pixel - oy * tile->ow;
    const int32_t top = oy * job->op->stride_h - tile->pad_top;
    const int32_t left = ox * job->op->stride_w - tile->pad_left;
    any->corner = (intptr_t)tile->x + top * tile->row_stride + left * tile->k;
    any->taps = lists;
    if (!lies_inside(job, top, left)) {
        intptr_t *own = lists + 4 * job->blocks;
        list_at_border(job, lists, own, top, left, (intptr_t)padding - any->corner);
        any->taps = own;
    }
    any->groups = me_min(job->groups - group, most);
    any->first = 4 * group;
    any->weights = tile->weights + 16 * job->blocks * group;
    any->y = tile->y + pixel * tile->y_stride;
    me_depthwise_pixel(any);
    return any->groups;
}

void me_depthwise_pixels_s8(const me_depthwise_job *job)
{
    const me_conv_s8_tile *tile = job->tile;
    const me_scale *scale = &job->op->scale;
    const int32_t n = tile->oh * tile->ow * job->groups, last = ME_LAST(n);
    intptr_t *lists = (intptr_t *)(void *)job->scratch;
    int8_t *padding = (int8_t *)(lists + 8 * job->blocks);
    me_depthwise_any any;
    any.blocks = job->blocks;
    any.channels = tile->channels;
    any.last = tile->k - 4;
    any.pre = scale->pre;
    any.low = scale->low;
    any.high = scale->high;
    any.zero = job->zero;
    for (int32_t c = 0; c < tile->k; c++)
        padding[c] = (int8_t)job->op->x_zero;
    list_inside(job, lists);
    for (int32_t at = ME_FIRST(n); at < last;)
        at += run_pixel(job, &any, at, last - at, lists, padding);
}
