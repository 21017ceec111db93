/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_requantise.h"

#include "me_share.h"
#include "me_sums_s8.h"

/* Requantises n sums of channel k from `sums` on, of consecutive results. */
static void requantise(const me_ne16_jobs_params *op, const me_conv_s8_tile *conv, int32_t *sums, int32_t k,
                       int32_t n, int8_t *y)
{
    const int32_t words = op->sums.halves * conv->k;
    if (op->sums.halves == 2)
        me_join_sums(sums, n, words, op->sums.weight_bits);
    if (op->sums.y_wide)
        me_limited_sums_s16(sums, n, words, conv->channels + k, &op->conv.scale, y, conv->y_stride);
    else
        me_sums_s8(sums, n, words, conv->channels + k, &op->conv.scale, y, conv->y_stride);
}

/* Channels are interleaved over cores: cores that process adjacent channels access different banks. */
void me_ne16_requantise(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                        const me_ne16_range *range)
{
    const me_conv_s8_tile *conv = &tile->conv;
    const int32_t run = tile->run, pieces = run ? 3 : 1, of_unit = run ? 1 : conv->ow;
    const int32_t first = range->first * of_unit, n = (range[1].first - range->first) * of_unit;
    const int32_t halves = op->sums.halves, cores = ME_KERNEL_CORES(0), last = ME_END_PART(cores);
    int32_t *const sums = (int32_t *)(void *)(tile->at.y + range->y);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        for (int32_t k = part; k < conv->k; k += cores)
            for (int32_t piece = 0; piece < pieces; piece++)
                requantise(op, conv, sums + (piece * run * conv->k + k) * halves, k, n,
                           conv->y + (piece * tile->apart + first) * conv->y_stride + (k << op->sums.y_wide));
}
