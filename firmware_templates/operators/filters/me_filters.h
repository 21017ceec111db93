/* SPDX-License-Identifier: Apache-2.0
 * Filters over time, signal by signal, with 64-bit products. Cores 0 .. 7 call a kernel together, and each
 * computes its share of the signals; there is no barrier inside.
 */
#ifndef ME_FILTERS_H
#define ME_FILTERS_H

#include <stdint.h>

#include "me_scale.h"

/* Requantises samples to results: q = (x * mult + offset) >> shift, with the limits and table of `scale`
 * (its pre is not used); int16 if `wide`. */
typedef struct {
    int64_t offset;
    int32_t mult, shift, wide;
    me_scale scale;
} me_samples_scale;

/* sections   [count][5] coefficients with `fraction` fraction bits
 * guard      additional fraction bits of the samples inside the filter
 * keeps      y is the state after the last sample, not the filtered samples */
typedef struct {
    int32_t steps, inner, count, guard, fraction, keeps;
    const int32_t *sections;
    me_samples_scale samples;
} me_biquads_s16_params;

/* x        int16 [outer][steps][inner]
 * before   int32 [count + 1][2][outer][inner]: state before the first sample: the last two inputs of
 *          every section, and the last two outputs; or 0
 * y        int8 or int16 as x; with `keeps`, int32 in the layout of `before`
 * scratch  me_biquads_scratch_bytes */
typedef struct {
    const int16_t *x;
    const int32_t *before;
    void *y;
    int32_t outer;
    int8_t *scratch;
} me_biquads_s16_tile;

/* Cascaded second-order sections of int16 samples: int8 or int16 results, or the final state if
 * `keeps`.
 * Each: y = (b0 x + b1 x1 + b2 x2 - a1 y1 - a2 y2 + half) >> fraction, half = 1 << fraction >> 1,
 * products of 64 bits, y inside int32. count, steps at least 1; fraction 1 to 29; guard 0 to 14;
 * samples.mult 0 to 2^30, .shift 1 to 50. Scratch and the state are aligned to 4. */
void me_biquads_s16(const me_biquads_s16_params *op, const me_biquads_s16_tile *tile);

static inline int32_t me_biquads_scratch_bytes(int32_t count)
{
    return 8 * (2 * count + 2) * (int32_t)sizeof(int32_t);
}

#endif
