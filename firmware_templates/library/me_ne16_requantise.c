/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_requantise.h"

#include "me_share.h"
#include "me_sums_s8.h"

/* Sums of channels, and where they and their results are: cores process every `step`-th channel from the first on. */
typedef struct {
    int32_t *sums;
    const me_channel *channel;
    int8_t *y;
    int32_t count, step, n, words;
} channels_of_core;

/* Requantises n sums of each channel, of consecutive results. */
static void requantise(const me_ne16_jobs_params *op, int32_t y_stride, channels_of_core of)
{
    const int32_t halves = op->sums.halves, y_wide = op->sums.y_wide, bits = op->sums.weight_bits;
    const int32_t sum_step = of.step * halves, y_step = of.step << y_wide;
    for (; of.count > 0; of.count -= of.step, of.sums += sum_step, of.channel += of.step, of.y += y_step) {
        if (halves == 2)
            me_join_sums(of.sums, of.n, of.words, bits);
        if (y_wide)
            me_limited_sums_s16(of.sums, of.n, of.words, of.channel, &op->conv.scale, of.y, y_stride);
        else
            me_sums_s8(of.sums, of.n, of.words, of.channel, &op->conv.scale, of.y, y_stride);
    }
}

/* Channels are interleaved over cores: cores that process adjacent channels access different banks. */
void me_ne16_requantise(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                        const me_ne16_range *range)
{
    const me_conv_s8_tile *conv = &tile->conv;
    const int32_t run = tile->run, pieces = run ? 3 : 1, of_unit = run ? 1 : conv->ow;
    const int32_t first = range->first * of_unit, n = (range[1].first - range->first) * of_unit;
    const int32_t words = op->sums.halves * conv->k, cores = ME_KERNEL_CORES(0), last = ME_END_PART(cores);
    int32_t *const sums = (int32_t *)(void *)(tile->at.y + range->y);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        for (int32_t piece = 0; piece < pieces; piece++)
            requantise(
                op, conv->y_stride,
                (channels_of_core){
                    .sums = sums + piece * run * words + part * op->sums.halves,
                    .channel = conv->channels + part,
                    .y = conv->y + (piece * tile->apart + first) * conv->y_stride + (part << op->sums.y_wide),
                    .count = conv->k - part,
                    .step = cores,
                    .n = n,
                    .words = words,
                });
}
