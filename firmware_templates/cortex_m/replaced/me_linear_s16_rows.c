/* SPDX-License-Identifier: Apache-2.0
 * me_linear_s16_rows.h for Cortex-M. For SMLAD a row's copy has of each four values 0 and 2, then 1 and 3, as SXTB16
 * makes halves of weights. Otherwise it is the row as int16.
 */
#include "me_linear_s16_rows.h"

#include "me_math.h"
#include "me_two_pixels.h"

#ifdef ME_MVE
#include <arm_mve.h>
#endif

void me_split_row(const void *x, int32_t wide, int32_t words, int8_t *row, int32_t half, int32_t at)
{
    (void)half;
    const int8_t *from = (const int8_t *)x;
    int8_t *to = row + 8 * at;
    for (int32_t word = 0; word < words; word++) {
        int32_t four[4];
        for (int32_t i = 0; i < 4; i++)
            four[i] = wide ? me_next_h(&from) : me_next_b(&from);
#ifdef ME_DSP
        me_put_w(&to, me_pack_h(four[0], four[2]));
        me_put_w(&to, me_pack_h(four[1], four[3]));
#else
        me_put_w(&to, me_pack_h(four[0], four[1]));
        me_put_w(&to, me_pack_h(four[2], four[3]));
#endif
    }
}

int32_t me_split_sum(const int8_t *row, int32_t half, const int8_t *weights, int32_t words, int32_t sum)
{
    (void)half;
    for (int32_t word = 0; word < words; word++, row += 8, weights += 16) {
#ifdef ME_DSP
        const int8_t *x = row, *w = weights;
        const uint32_t taps = me_next_w(&w);
        sum = me_sdotsp_h(sum, me_next_w(&x), me_even_b(taps));
        sum = me_sdotsp_h(sum, me_next_w(&x), me_odd_b(taps));
#else
        const int16_t *x = (const int16_t *)(const void *)row;
        for (int32_t tap = 0; tap < 4; tap++)
            sum += x[tap] * weights[tap];
#endif
    }
    return sum;
}

#ifdef ME_DSP
ME_ADD_1X4(add_block, ME_TAPS_OF_HALVES)
#else
/* Adds the products of a row with the weights of four channels to four sums. */
static void add_block(int32_t *sum, const int8_t *row, int32_t words, const int8_t *weights)
{
#ifdef ME_MVE
    for (; words >= 4; words -= 4, row += 32, weights += 64) {
        const int16x8x2_t x = vld2q_s16((const int16_t *)(const void *)row);
        const int32x4x4_t w = vld4q_s32((const int32_t *)(const void *)weights);
        for (int32_t c = 0; c < 4; c++) {
            const int8x16_t bytes = vreinterpretq_s8_s32(w.val[c]);
            sum[c] = vmladavaq_s16(sum[c], x.val[0], vmovlbq_s8(bytes));
            sum[c] = vmladavaq_s16(sum[c], x.val[1], vmovltq_s8(bytes));
        }
    }
#endif
    for (int32_t c = 0; c < 4; c++)
        sum[c] = me_split_sum(row, 0, weights + 4 * c, words, sum[c]);
}
#endif

static void sums_of_one(const int8_t *row, const int8_t *weights, int32_t words, const me_channel *channels,
                        int32_t *sum, int32_t blocks)
{
    for (int32_t block = 0; block < blocks; block++, channels += 4, weights += 16 * words) {
        int32_t four[4];
        for (int32_t c = 0; c < 4; c++)
            four[c] = channels[c].bias;
        add_block(four, row, words, weights);
        for (int32_t c = 0; c < 4; c++)
            *sum++ = four[c];
    }
}

#ifdef ME_DSP
enum { STEPS = 64 }; /* words of two rows that are computed at once */

/* Copies words of two rows side by side. */
static void join_rows(uint32_t *to, const int8_t *first, const int8_t *second, int32_t steps)
{
    for (int32_t step = 0; step < steps; step++, to += 4) {
        to[0] = me_next_w(&first);
        to[1] = me_next_w(&first);
        to[2] = me_next_w(&second);
        to[3] = me_next_w(&second);
    }
}

static void sums_of_two(const int8_t *row, int32_t half, const int8_t *weights, int32_t words,
                        const me_channel *channels, int32_t *sum, int32_t blocks)
{
    uint32_t taps[4 * STEPS];
    int32_t sums[2 * ME_SPLIT_SUMS]; /* for each two channels those of a row, then of the other */
    int8_t *const none = (int8_t *)sums; /* results are not stored */
    for (int32_t step = 0; step < words; step += STEPS) {
        const int32_t steps = me_min(words - step, STEPS);
        me_two_pixels work = { .weights = weights + 16 * step,
                               .step = 8 - 16 * steps,
                               .next = 16 * (words - steps) - 8,
                               .channels = channels,
                               .y = none,
                               .end = none + 4 * blocks,
                               .taps = taps,
                               .steps = steps,
                               .from = step > 0 ? sums : 0,
                               .special = 1,
                               .to = sums };
        join_rows(taps, row + 8 * step, row + 2 * half + 8 * step, steps);
        me_run_two_pixels(&work);
    }
    for (int32_t i = 0; i < 4 * blocks; i++) {
        sum[i] = sums[i / 2 * 4 + i % 2];
        sum[ME_SPLIT_SUMS + i] = sums[i / 2 * 4 + i % 2 + 2];
    }
}
#else
static void sums_of_two(const int8_t *row, int32_t half, const int8_t *weights, int32_t words,
                        const me_channel *channels, int32_t *sum, int32_t blocks)
{
    sums_of_one(row, weights, words, channels, sum, blocks);
    sums_of_one(row + 2 * half, weights, words, channels, sum + ME_SPLIT_SUMS, blocks);
}
#endif

void me_split_sums(const int8_t *row, int32_t half, const int8_t *weights, int32_t words,
                   const me_channel *channels, int32_t *sum, int32_t blocks, int32_t rows)
{
    if (rows == 2)
        sums_of_two(row, half, weights, words, channels, sum, blocks);
    else
        sums_of_one(row, weights, words, channels, sum, blocks);
}

void me_split_store(const int32_t *sum, const me_channel *to, const me_scale *scale, int8_t *y, int32_t n,
                    int32_t wide)
{
    const int32_t pre = scale->pre, low = scale->low, high = scale->high; /* stores do not change them */
    for (int32_t i = 0; i < n; i++) {
        const int32_t q = me_requant(sum[i], pre, to[i].mult, to[i].offset, to[i].shift);
        if (wide)
            ((int16_t *)(void *)y)[i] = (int16_t)me_min(me_max(q, low), high);
        else
            y[i] = (int8_t)me_min(me_max(q, low), high);
    }
}
