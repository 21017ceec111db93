/* SPDX-License-Identifier: Apache-2.0 */
#include "me_attention_s16_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

static int32_t sum_of(const int16_t *a, const int16_t *b, int32_t n, int32_t sum)
{
    for (int32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

void me_products_halves(const me_products *of)
{
    for (int32_t block = 0; block < of->blocks; block++)
        for (int32_t i = 0; i < 4; i++)
            for (int32_t j = 0; j < 4; j++) {
                const int8_t *a = of->a[i] - 4 * of->turn, *b = of->b[j] - 4 * of->turn + block * of->b_step;
                int32_t *y = of->y + i * (of->y_stride / 4) + 4 * block + j;
                *y = sum_of((const int16_t *)(const void *)a, (const int16_t *)(const void *)b, 2 * of->words,
                            of->add ? *y : 0);
            }
}

uint32_t me_row_exponentials_h(int32_t *x, int32_t n, const me_row_entries *by)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const uint32_t distance = ((uint32_t)by->largest - (uint32_t)x[i]) >> by->drop;
        const uint32_t entry = me_minu((me_minu(distance, by->most) * by->mult + (1u << 14)) >> 15, 65535);
        const uint32_t e = ((uint32_t)by->near[entry & 255] * by->far[entry >> 8] + (1u << 14)) >> 15;
        x[i] = (int32_t)e;
        sum += e;
    }
    return sum;
}

uint32_t me_row_packed(const int32_t *x, int32_t *to, int32_t pairs, int32_t drop)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < pairs; i++) {
        const uint32_t even = (uint32_t)x[2 * i] >> drop, odd = (uint32_t)x[2 * i + 1] >> drop;
        to[i] = (int32_t)(even | odd << 16);
        sum += even + odd;
    }
    return sum;
}

#define ME_ROUNDED(NAME, TYPE) \
    void NAME(const TYPE *x, int16_t *to, int32_t pairs, int32_t add, int32_t drop) \
    { \
        for (int32_t i = 0; i < 2 * pairs; i++) \
            to[i] = (int16_t)((x[i] + add) >> drop); \
    }

ME_ROUNDED(me_row_of_halves, int16_t)
ME_ROUNDED(me_row_of_bytes, int8_t)

#define ME_SCALED(NAME, TYPE) \
    void NAME(const int32_t *x, TYPE *y, int32_t n, const me_row_scale *by) \
    { \
        for (int32_t i = 0; i < n; i++) { \
            const int32_t scaled = (int32_t)((int64_t)(x[i] >> by->down) * by->factor >> 16); \
            const int32_t number = ((scaled + by->half) >> by->shift) + by->zero; \
            y[i] = (TYPE)me_min(me_max(number, by->low), by->high); \
        } \
    }

ME_SCALED(me_row_scaled_halves, int16_t)
ME_SCALED(me_row_scaled_bytes, int8_t)

#endif
