/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise_lines.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_depthwise_transpose(const int8_t *x, int32_t x_step, int32_t fours, int8_t *to, int32_t line_bytes)
{
    for (int32_t i = 0; i < 4 * fours; i++)
        for (int32_t c = 0; c < 4; c++)
            to[c * line_bytes + i] = x[i * x_step + c];
}

static int32_t sum_of(const me_depthwise_run *run, const int8_t *x)
{
    const int8_t *weights = run->weights;
    int32_t acc = run->channel->bias;
    for (int32_t r = 0; r < run->rows; r++)
        for (int32_t w = 0; w < run->words; w++, weights += 16)
            for (int32_t i = 0; i < 4; i++)
                acc += x[run->offsets[r] + 4 * w + i] * weights[i];
    return acc;
}

static void run_line(const me_depthwise_run *run, int32_t x_step, const int8_t *x, int8_t *y)
{
    const me_channel *c = run->channel;
    for (int32_t i = 0; i < run->n; i++) {
        const int32_t acc = sum_of(run, x + i * x_step);
        const int8_t q =
            me_clip(me_requant(acc, run->pre, c->mult, c->offset, c->shift), run->low, run->high);
        y[i * run->y_step] = run->zero ? run->zero[q] : q;
    }
}

void me_depthwise_fours(const me_depthwise_run *run) { run_line(run, run->x_step, run->x, run->y); }

void me_depthwise_eights_any(me_depthwise_run *run)
{
    for (int32_t i = 0; i < run->lines; i++)
        run_line(run, 1, run->x + i * run->x_line, run->y + i * run->y_line);
}

void me_depthwise_eights(me_depthwise_run *run) { me_depthwise_eights_any(run); }

#endif
