/* SPDX-License-Identifier: Apache-2.0 */
#include "me_linear_s16_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

/* The two halves together are the row as int16. */

void me_split_row(const void *x, int32_t wide, int32_t words, int8_t *row, int32_t half, int32_t at)
{
    (void)half;
    const int16_t *halves = (const int16_t *)x;
    const int8_t *bytes = (const int8_t *)x;
    int16_t *to = (int16_t *)(void *)row + 4 * at;
    for (int32_t i = 0; i < 4 * words; i++)
        to[i] = wide ? halves[i] : bytes[i];
}

int32_t me_split_sum(const int8_t *row, int32_t half, const int8_t *weights, int32_t words, int32_t sum)
{
    (void)half;
    const int16_t *x = (const int16_t *)(const void *)row;
    for (int32_t word = 0; word < words; word++)
        for (int32_t tap = 0; tap < 4; tap++)
            sum += x[4 * word + tap] * weights[16 * word + tap];
    return sum;
}

void me_split_sums(const int8_t *row, int32_t half, const int8_t *weights, int32_t words,
                   const me_channel *channels, int32_t *sum, int32_t blocks, int32_t rows)
{
    for (; rows > 0; rows--, row += 2 * half, sum += ME_SPLIT_SUMS)
        for (int32_t i = 0; i < 4 * blocks; i++)
            sum[i] =
                me_split_sum(row, half, weights + i / 4 * 16 * words + i % 4 * 4, words, channels[i].bias);
}

void me_split_store(const int32_t *sum, const me_channel *to, const me_scale *scale, int8_t *y, int32_t n,
                    int32_t wide)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t q = me_requant(sum[i], scale->pre, to[i].mult, to[i].offset, to[i].shift);
        const int32_t limited = me_min(me_max(q, scale->low), scale->high);
        if (wide)
            ((int16_t *)(void *)y)[i] = (int16_t)limited;
        else
            y[i] = (int8_t)limited;
    }
}

#endif
