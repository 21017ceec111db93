/* SPDX-License-Identifier: Apache-2.0
 * Sums of me_depthwise_rows.c with vectors (Helium).
 */
#ifndef ME_DEPTHWISE_MVE_H
#define ME_DEPTHWISE_MVE_H

#include "me_intrinsics.h"

#ifdef ME_MVE
#include <arm_mve.h>

/* ---- 3 x 3: three columns of the rows of a window are one vector */

/* The weights of a channel's columns, in the bytes of their rows; the last four lanes are 0. */
static inline int8x16_t me_weights_of(const int8_t *weights)
{
    const int32_t *w = (const int32_t *)(const void *)weights;
    const int32x4_t columns = { w[0], w[4], w[8], 0 };
    return vreinterpretq_s8_s32(columns);
}

/* Sums of n results, or of n vertical pairs of results, of one channel. */
static inline void me_sum_pairs(const int8_t *vectors, int8x16_t upper, int8x16_t lower, int32_t n,
                                int32_t *sums)
{
    const mve_pred16_t inside = vctp8q(12);
    for (; n > 0; n--, vectors += 4, sums += 2) {
        const int8x16_t x = vldrbq_z_s8(vectors, inside);
        sums[0] = vmladavq_s8(x, upper);
        sums[1] = vmladavq_s8(x, lower);
    }
}

static void me_strip_sums(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums)
{
    const int8x16_t w = me_weights_of(weights);
    me_sum_pairs(vectors, w, vreinterpretq_s8_s32(vshlq_n_s32(vreinterpretq_s32_s8(w), 8)), n, sums);
}

/* Rows 2 and 3 come first. */
static void me_turned_strip_sums(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums)
{
    const int8x16_t w = me_weights_of(weights);
    const int8x16_t below = vreinterpretq_s8_s32(vshlq_n_s32(vreinterpretq_s32_s8(w), 8));
    me_sum_pairs(vectors, vreinterpretq_s8_s16(vrev32q_s16(vreinterpretq_s16_s8(w))),
                 vreinterpretq_s8_s16(vrev32q_s16(vreinterpretq_s16_s8(below))), n, sums);
}

static void me_row_sums(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums)
{
    const int8x16_t w = me_weights_of(weights);
    const mve_pred16_t inside = vctp8q(12);
    for (int32_t i = 0; i < n; i++, vectors += 8)
        sums[i] = vmladavq_s8(vldrbq_z_s8(vectors, inside), w);
}

/* ---- any window: sums of four channels of one result */

static void me_four_sums(int32_t *sums, const intptr_t *taps, const int8_t *weights, int32_t blocks,
                         intptr_t corner)
{
    const uint32x4_t apart = vidupq_n_u32(0, 4);
    int32x4_t sum = vdupq_n_s32(0);
    for (; blocks > 0; blocks--, taps += 4, weights += 16)
        for (int32_t t = 0; t < 4; t++) {
            const int32x4_t x = vldrbq_s32((const int8_t *)(corner + taps[t]));
            sum = vaddq_s32(sum, vmulq_s32(x, vldrbq_gather_offset_s32(weights + t, apart)));
        }
    vst1q_s32(sums, sum);
}

#endif

#endif
