/* SPDX-License-Identifier: Apache-2.0 */
#include "me_conv_s16_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_four_sums_h(const int16_t *x, const int16_t *weights, int32_t words, int32_t *sum)
{
    const int8_t *at = (const int8_t *)x, *w = (const int8_t *)weights;
    for (int32_t word = 0; word < words; word++) {
        const uint32_t taps = me_next_w(&at);
        for (int32_t channel = 0; channel < 4; channel++)
            sum[channel] = me_sdotsp_h(sum[channel], taps, me_next_w(&w));
    }
}

int32_t me_pixel_sum_h(const int16_t *x, const int16_t *weights, int32_t taps, int32_t sum)
{
    for (int32_t tap = 0; tap < taps; tap++)
        sum += x[tap] * weights[tap / 2 * 8 + tap % 2];
    return sum;
}

void me_sixteen_sums_h(const int16_t *x, int32_t x_stride, const int16_t *weights, int32_t words,
                       int32_t *sum)
{
    for (int32_t row = 0; row < 4; row++)
        me_four_sums_h(x + row * (x_stride / 2), weights, words, sum + 4 * row);
}

void me_store_sums(const int32_t *sum, const me_channel *to, const me_scale *scale, int8_t *y,
                   int32_t windows, int32_t channels, int32_t step, int32_t wide)
{
    for (int32_t i = 0; i < windows; i++, y += step)
        for (int32_t k = 0; k < channels; k++) {
            const int32_t q = me_requant(sum[4 * i + k], scale->pre, to[k].mult, to[k].offset, to[k].shift);
            const int32_t limited = me_min(me_max(q, scale->low), scale->high);
            if (wide)
                ((int16_t *)(void *)y)[k] = (int16_t)limited;
            else
                y[k] = (int8_t)limited;
        }
}

void me_copy_halves(const int16_t *x, int32_t n, int16_t *to)
{
    for (int32_t i = 0; i < n; i++)
        to[i] = x[i];
}

void me_widen_bytes(const int8_t *x, int32_t n, int16_t *to)
{
    for (int32_t i = 0; i < n; i++)
        to[i] = x[i];
}

#endif
