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
    const int32_t first = range->first * tile->unit_results, n = range[1].first * tile->unit_results - first;
    const int32_t halves = op->sums.halves, words = halves * conv->k, cores = ME_KERNEL_CORES(0);
    const int32_t last = ME_END_PART(cores);
    int32_t *const sums = (int32_t *)(void *)(tile->at.y + range->y);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        requantise(op, conv->y_stride,
                   (channels_of_core){
                       .sums = sums + part * halves,
                       .channel = conv->channels + part,
                       .y = conv->y + first * conv->y_stride + (part << op->sums.y_wide),
                       .count = conv->k - part,
                       .step = cores,
                       .n = n,
                       .words = words,
                   });
}
