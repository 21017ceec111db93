/* SPDX-License-Identifier: Apache-2.0
 * me_gemm_s8_block.h in C. me_gemm_s8_block.S says the same in the kernels' names.
 */
#include "me_gemm_s8_block.h"

#if !defined ME_GAP9 || defined ME_SDK
#include "me_math.h"

#define ME_INLINE static inline __attribute__((always_inline))

ME_INLINE void sums(const me_block *b, const int8_t *const *x, const int8_t **weights, int32_t pixels,
                    int32_t channels, int32_t sum[4][4])
{
    const int8_t *at[4];
    for (int32_t p = 0; p < pixels; p++)
        at[p] = x[p];
    for (int32_t step = 0; step < b->steps; step++) {
        uint32_t w[4];
#pragma GCC unroll 4
        for (int32_t c = 0; c < channels; c++)
            w[c] = me_next_w(weights);
#pragma GCC unroll 4
        for (int32_t p = 0; p < pixels; p++) {
            const uint32_t taps = me_step_w(&at[p], b->x_step);
#pragma GCC unroll 4
            for (int32_t c = 0; c < channels; c++)
                sum[p][c] = me_sdotsp_b(sum[p][c], taps, w[c]);
        }
    }
}

ME_INLINE int8_t scaled(const me_block *b, int32_t sum, const me_channel *to)
{
    const int32_t q = me_clip8(me_requant(sum, b->pre, to->mult, to->offset, to->shift));
    return (int8_t)me_clip(q, (int8_t)b->low, (int8_t)b->high);
}

ME_INLINE void blocks(const me_block *b, int32_t pixels, int32_t channels)
{
    for (int32_t group = 0; group < b->groups; group++) {
        const int8_t *const *x = b->x + group * pixels;
        const int8_t *weights = b->weights;
        for (int32_t block = 0; block < b->blocks; block++) {
            const me_channel *to = b->channels + block * channels;
            int8_t *y = b->y + group * pixels * b->y_stride + block * channels;
            int32_t sum[4][4];
            for (int32_t p = 0; p < pixels; p++)
                for (int32_t c = 0; c < channels; c++)
                    sum[p][c] = to[c].bias + (b->rows ? b->rows[group * pixels + p] : 0);
            sums(b, x, &weights, pixels, channels, sum);
            for (int32_t p = 0; p < pixels; p++)
                for (int32_t c = 0; c < channels; c++)
                    y[p * b->y_stride + c] = scaled(b, sum[p][c], &to[c]);
        }
    }
}

#include "me_gemm_s8_block_rows.h"

void me_copy_windows(const me_windows *windows)
{
    const int32_t bytes = 4 * windows->words + windows->rest;
    for (int32_t i = 0; i < 4 * windows->groups; i++) {
        const int8_t *from = windows->from + i * windows->from_step;
        int8_t *to = windows->to + i * windows->to_step;
        for (int32_t piece = 0; piece < windows->pieces; piece++)
            for (int32_t byte = 0; byte < bytes; byte++)
                *to++ = from[piece * (bytes + windows->skip) + byte];
    }
}

#else
#define ME_DECLARED(P, C) void me_block_##P##x##C(const me_block *block);
#define ME_BLOCKS(P) ME_DECLARED(P, 1) ME_DECLARED(P, 2) ME_DECLARED(P, 3) ME_DECLARED(P, 4)
ME_BLOCKS(1)
ME_BLOCKS(2)
ME_BLOCKS(3)
ME_BLOCKS(4)
#endif

#define ME_ROW(P) { me_block_##P##x1, me_block_##P##x2, me_block_##P##x3, me_block_##P##x4 }
me_block_kernel *const me_block_kernels[4][4] = { ME_ROW(1), ME_ROW(2), ME_ROW(3), ME_ROW(4) };
