/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise_s16_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include <stddef.h>

#include "me_math.h"

static int32_t sum_of(const me_depthwise_row *row, const int16_t *x, int32_t channel)
{
    const int16_t *w = row->weights + channel;
    int32_t sum = row->channels[channel].bias;
    for (int32_t r = 0; r < row->k_h; r++, x += row->row_step / 2)
        for (int32_t s = 0; s < row->k_w; s++, x += row->tap_step / 2, w += 2)
            sum = me_mac(sum, x[channel], *w);
    return sum;
}

void me_depthwise_sums_h(const me_depthwise_row *row)
{
    for (int32_t i = 0; i < row->n; i++)
        for (int32_t channel = 0; channel < 1 + row->two; channel++) {
            const me_channel *to = row->channels + channel;
            const int32_t sum = sum_of(row, row->x + i * (row->x_step / 2), channel);
            const int32_t q = me_requant(sum, row->scale.pre, to->mult, to->offset, to->shift);
            const int32_t limited = me_min(me_max(q, row->scale.low), row->scale.high);
            int8_t *const y = row->y + (ptrdiff_t)i * row->y_step;
            if (row->y_wide)
                ((int16_t *)(void *)y)[channel] = (int16_t)limited;
            else
                y[channel] = (int8_t)limited;
        }
}

void me_copy_to_halves(const int8_t *x, int32_t n, int16_t *to, int32_t wide)
{
    for (int32_t i = 0; i < n; i++)
        to[i] = wide ? ((const int16_t *)(const void *)x)[i] : x[i];
}

#endif
