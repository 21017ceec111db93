/* SPDX-License-Identifier: Apache-2.0
 * Blocks of me_gemm_s8_block.c with vectors (Helium): 16 taps of a pixel and of each of four channels at once.
 */
#ifndef ME_GEMM_S8_MVE_H
#define ME_GEMM_S8_MVE_H

#include "me_gemm_s8_block.h"
#include "me_math.h"

#ifdef ME_MVE
#include <arm_mve.h>

typedef struct {
    int32x4_t low, high;
} me_pair;

static void me_begin_pair(me_pair *pair, const me_block *b)
{
    pair->low = vdupq_n_s32((int8_t)b->low);
    pair->high = vdupq_n_s32((int8_t)b->high);
}

/* Copies 4 * words + rest bytes; rest 0 to 3. */
ME_INLINE void me_copy_piece(const int8_t **from, int8_t **to, int32_t words, int32_t rest)
{
    const int32_t bytes = 4 * words + rest;
    for (int32_t left = bytes; left > 0; left -= 16, *from += 16, *to += 16) {
        const mve_pred16_t inside = vctp8q((uint32_t)left);
        vstrbq_p_s8(*to, vldrbq_z_s8(*from, inside), inside);
    }
    *from += bytes - ((bytes + 15) & ~15);
    *to += bytes - ((bytes + 15) & ~15);
}

/* The last one to three words of taps of four channels, each in the lanes of a vector; `words` are their lanes. */
ME_INLINE int32x4x4_t me_last_weights(const int8_t *weights, mve_pred16_t words)
{
    const uint32x4_t apart = vidupq_n_u32(0, 8), at = vaddq_u32(apart, apart);
    const int32_t *w = (const int32_t *)(const void *)weights;
    return (int32x4x4_t){ {
        vldrwq_gather_offset_z_s32(w, at, words),
        vldrwq_gather_offset_z_s32(w + 1, at, words),
        vldrwq_gather_offset_z_s32(w + 2, at, words),
        vldrwq_gather_offset_z_s32(w + 3, at, words),
    } };
}

ME_INLINE int32_t me_added(int32_t sum, int8x16_t x, int32x4_t weights)
{
    return vmladavaq_s8(sum, x, vreinterpretq_s8_s32(weights));
}

/* Results of four channels of a pixel. */
ME_INLINE void me_store_vector(const me_block *b, const me_pair *pair, const int32_t *sum, int32_t row,
                               const int32x4x4_t *to, int8_t *y)
{
    int32x4_t acc = vaddq_n_s32(vaddq_s32(vld1q_s32(sum), to->val[0]), row);
    acc = vshlq_r_s32(acc, -b->pre);
    acc = vaddq_s32(vmulq_s32(acc, to->val[1]), to->val[2]);
    acc = vshlq_s32(acc, vnegq_s32(to->val[3]));
    vstrbq_s32(y, vminq_s32(vmaxq_s32(acc, pair->low), pair->high));
}

/* Computes a block of four channels of one or two pixels. */
ME_INLINE void me_vector_block(const me_block *b, const me_pair *pair, const int8_t *const *x,
                               const int32_t *rows, const int8_t *w, const me_channel *channels, int8_t *y,
                               int32_t pixels)
{
    const int8_t *x0 = x[0], *x1 = x[pixels - 1];
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
#define ME_ADD_VECTORS(X0, X1, V) \
    a0 = me_added(a0, X0, V.val[0]), a1 = me_added(a1, X0, V.val[1]); \
    a2 = me_added(a2, X0, V.val[2]), a3 = me_added(a3, X0, V.val[3]); \
    if (pixels == 2) { \
        b0 = me_added(b0, X1, V.val[0]), b1 = me_added(b1, X1, V.val[1]); \
        b2 = me_added(b2, X1, V.val[2]), b3 = me_added(b3, X1, V.val[3]); \
    }
    for (int32_t fours = b->steps >> 2; fours > 0; fours--, x0 += 16, x1 += 16, w += 64) {
        const int32x4x4_t v = vld4q_s32((const int32_t *)(const void *)w);
        ME_ADD_VECTORS(vld1q_s8(x0), vld1q_s8(x1), v)
    }
    if (b->steps & 3) {
        const uint32_t words = (uint32_t)b->steps & 3u;
        const mve_pred16_t bytes = vctp8q(4 * words);
        const int32x4x4_t v = me_last_weights(w, vctp32q(words));
        ME_ADD_VECTORS(vldrbq_z_s8(x0, bytes), vldrbq_z_s8(x1, bytes), v)
    }
    const int32_t sums[8] = { a0, a1, a2, a3, b0, b1, b2, b3 };
    const int32x4x4_t to = vld4q_s32((const int32_t *)(const void *)channels);
    for (int32_t p = 0; p < pixels; p++)
        me_store_vector(b, pair, sums + 4 * p, rows ? rows[p] : 0, &to, y + p * b->y_stride);
}

/* -> the pixels whose blocks of four channels were computed, all; x_step is 4 */
static int32_t me_pairs_of_pixels(const me_block *b, const me_pair *pair, const int8_t *const *x,
                                  const int32_t *rows, int8_t *y, int32_t pixels)
{
    for (int32_t p = 0; p < pixels; p += 2) {
        const int8_t *weights = b->weights;
        const me_channel *to = b->channels;
        const int32_t *add = rows ? rows + p : 0;
        int8_t *at = y + p * b->y_stride;
        for (int32_t block = 0; block < b->blocks; block++, to += 4, at += 4, weights += 16 * b->steps)
            if (p + 1 < pixels)
                me_vector_block(b, pair, x + p, add, weights, to, at, 2);
            else
                me_vector_block(b, pair, x + p, add, weights, to, at, 1);
    }
    return pixels;
}

#endif

#endif
