/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_int16.h"

#include "me_share.h"
#include "me_sums_s16.h"

/* Channels are interleaved over cores: cores that process adjacent channels access different banks. */
void me_ne16_int16(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range)
{
    const int32_t all_k = tile->conv.k, n = range[1].first - range->first;
    const int32_t *sums = (const int32_t *)(const void *)(tile->at.y + range->y);
    int16_t *y = (int16_t *)(void *)tile->y + range->first * all_k;
    const int32_t cores = ME_KERNEL_CORES(0), last = ME_END_PART(cores);
    for (int32_t part = ME_FIRST_PART(cores); part < last; part++)
        for (int32_t k = part; k < all_k; k += cores)
            me_sums_s16(sums + k, n, all_k, tile->conv.channels + k, op->conv.scale.pre, y + k);
}
