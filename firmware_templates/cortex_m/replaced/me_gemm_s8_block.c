/* SPDX-License-Identifier: Apache-2.0
 * me_gemm_s8_block.h for Cortex-M: sums of two pixels and two channels at once, which fit the registers.
 */
#include "me_gemm_s8_block.h"

#define ME_INLINE static inline __attribute__((always_inline))

#include "me_gemm_s8_dsp.h"
#include "me_gemm_s8_mve.h"
#include "me_math.h"
#include "me_two_pixels.h"

/* Adds the products of `steps` words of taps, x_step bytes apart, to the sums of `pixels` pixels and `channels` of
 * the `all` channels of a block. */
ME_INLINE void add_words(const int8_t *const *x, int32_t x_step, const int8_t *weights, int32_t all,
                         int32_t steps, int32_t pixels, int32_t channels, int32_t *sum)
{
    const int8_t *at[2];
    for (int32_t p = 0; p < pixels; p++)
        at[p] = x[p];
    for (int32_t step = 0; step < steps; step++, weights += 4 * all)
        for (int32_t p = 0; p < pixels; p++) {
            const uint32_t taps = me_step_w(&at[p], x_step);
            const int8_t *w = weights;
            for (int32_t c = 0; c < channels; c++)
                sum[p * channels + c] = me_sdotsp_b(sum[p * channels + c], taps, me_next_w(&w));
        }
}

#if !defined ME_DSP && !defined ME_MVE
typedef struct {
    int8_t none;
} me_pair;
#define me_begin_pair(pair, block) ((void)(pair))
#define me_pairs_of_pixels(block, pair, x, rows, y, pixels) 0
#endif

ME_INLINE void add_part(const me_block *b, const int8_t *const *x, const int8_t *weights, int32_t all,
                        int32_t pixels, int32_t channels, int32_t *sum)
{
#ifdef ME_DSP
    if (b->x_step == 4 && pixels == 1 && channels == 4) {
        me_add_1x4(sum, x[0], b->steps, weights);
        return;
    }
#endif
    add_words(x, b->x_step, weights, all, b->steps, pixels, channels, sum);
}

/* Computes the results of one block of pixels and channels. rows: numbers added to the sums of each pixel, or 0 */
ME_INLINE void one_block(const me_block *b, const int8_t *const *x, const int32_t *rows,
                         const int8_t *weights, const me_channel *to, int8_t *y, int32_t pixels,
                         int32_t channels)
{
    const int32_t side = pixels == 1 ? 4 : 2; /* channels at once */
    const int32_t y_stride = b->y_stride, pre = b->pre, low = (int8_t)b->low, high = (int8_t)b->high;
    for (int32_t p = 0; p < pixels; p += 2)
        for (int32_t c = 0; c < channels; c += side) {
            const int32_t height = pixels - p < 2 ? pixels - p : 2;
            const int32_t width = channels - c < side ? channels - c : side;
            int32_t sum[4];
            for (int32_t i = 0; i < height; i++)
                for (int32_t j = 0; j < width; j++)
                    sum[i * width + j] = to[c + j].bias + (rows ? rows[p + i] : 0);
            add_part(b, x + p, weights + 4 * c, channels, height, width, sum);
            for (int32_t j = 0; j < width; j++) {
                const me_channel k = to[c + j];
                for (int32_t i = 0; i < height; i++) {
                    const int32_t q = me_requant(sum[i * width + j], pre, k.mult, k.offset, k.shift);
                    y[(p + i) * y_stride + c + j] = me_clip(q, low, high);
                }
            }
        }
}

/* Computes all blocks of the pixels of a group. */
ME_INLINE void group_of_pixels(const me_block *b, const int8_t *const *x, const int32_t *rows, int8_t *y,
                               int32_t pixels, int32_t channels)
{
    const int8_t *weights = b->weights;
    const me_channel *to = b->channels;
    for (int32_t block = 0; block < b->blocks; block++, to += channels, y += channels) {
        one_block(b, x, rows, weights, to, y, pixels, channels);
        weights += 4 * b->steps * channels;
    }
}

ME_INLINE void blocks(const me_block *b, int32_t pixels, int32_t channels)
{
    me_pair pair;
    if (channels == 4)
        me_begin_pair(&pair, b);
    for (int32_t group = 0; group < b->groups; group++) {
        const int32_t first = group * pixels;
        const int8_t *const *x = b->x + first;
        const int32_t *rows = b->rows ? b->rows + first : 0;
        int8_t *y = b->y + first * b->y_stride;
        const int32_t done =
            channels == 4 && b->x_step == 4 ? me_pairs_of_pixels(b, &pair, x, rows, y, pixels) : 0;
        if (done == 0)
            group_of_pixels(b, x, rows, y, pixels, channels);
        else if (done < pixels)
            group_of_pixels(b, x + done, rows ? rows + done : 0, y + done * b->y_stride, 1, channels);
    }
}

#include "me_gemm_s8_block_rows.h"

#ifndef ME_MVE
/* Copies 4 * words + rest bytes; rest 0 to 3. */
ME_INLINE void me_copy_piece(const int8_t **from, int8_t **to, int32_t words, int32_t rest)
{
    for (int32_t word = 0; word < words; word++)
        me_put_w(to, me_next_w(from));
    if (rest & 2)
        me_put_h(to, me_next_hu(from));
    if (rest & 1)
        me_put_b(to, me_next_b(from));
}
#endif

void me_copy_windows(const me_windows *windows)
{
    const me_windows w = *windows; /* stores do not change it */
    for (int32_t i = 0; i < 4 * w.groups; i++) {
        const int8_t *from = w.from + i * w.from_step;
        int8_t *to = w.to + i * w.to_step;
        for (int32_t piece = 0; piece < w.pieces; piece++, from += w.skip) {
            me_copy_piece(&from, &to, w.words, w.rest);
        }
    }
}

#define ME_ROW(P) { me_block_##P##x1, me_block_##P##x2, me_block_##P##x3, me_block_##P##x4 }
me_block_kernel *const me_block_kernels[4][4] = { ME_ROW(1), ME_ROW(2), ME_ROW(3), ME_ROW(4) };
