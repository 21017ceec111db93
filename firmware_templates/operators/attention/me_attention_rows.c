/* SPDX-License-Identifier: Apache-2.0 */
#include "me_attention_rows.h"

#include "me_math.h"

uint32_t me_row_exponentials_12(const int32_t *x, uint8_t *to, uint8_t *upper, int32_t n,
                                const me_exp12_entries *by)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t entry = me_min(by->top - x[i], by->most) * by->mult >> by->shift;
        to[i] = by->lower[entry];
        upper[i] = by->upper[entry];
        sum += to[i] + 256u * upper[i];
    }
    return sum;
}

#if !defined ME_GAP9 || defined ME_SDK

#define ME_PRODUCTS(NAME, DOT) \
    void NAME(const me_products *of) \
    { \
        for (int32_t block = 0; block < of->blocks; block++) \
            for (int32_t i = 0; i < 4; i++) \
                for (int32_t j = 0; j < 4; j++) { \
                    const int8_t *a = of->a[i] - 4 * of->turn; \
                    const int8_t *b = of->b[j] - 4 * of->turn + block * of->b_step; \
                    int32_t *y = of->y + i * (of->y_stride / 4) + 4 * block + j; \
                    int32_t sum = of->add ? *y : 0; \
                    for (int32_t word = 0; word < of->words; word++) \
                        sum = DOT(sum, me_next_w(&a), me_next_w(&b)); \
                    *y = sum; \
                } \
    }

ME_PRODUCTS(me_products_signed, me_sdotsp_b)
ME_PRODUCTS(me_products_unsigned, me_sdotusp_b)

int32_t me_row_most(const int32_t *x, int32_t n)
{
    int32_t most = x[0];
    for (int32_t i = 1; i < n; i++)
        most = me_max(most, x[i]);
    return most;
}

void me_row_biased(int32_t *x, const int8_t *bias, int32_t n, int32_t mult, int32_t shift)
{
    for (int32_t i = 0; i < n; i++)
        x[i] += bias[i] * mult >> shift;
}

void me_row_masked(int32_t *x, const int8_t *mask, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        x[i] -= (mask[i] < 0) << 29;
}

uint32_t me_row_exponentials(const int32_t *x, uint8_t *to, int32_t fours, int32_t top, int32_t most,
                             int32_t mult, int32_t shift, const uint8_t *exp)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < 4 * fours; i++)
        sum += to[i] = exp[me_min(top - x[i], most) * mult >> shift];
    return sum;
}

uint32_t me_row_exponentials_12_fours(const int32_t *x, uint8_t *to, uint8_t *upper, int32_t fours,
                                      const me_exp12_entries *by)
{
    return me_row_exponentials_12(x, to, upper, 4 * fours, by);
}

void me_row_joined(int32_t *x, const int32_t *upper, int32_t n, int32_t half)
{
    for (int32_t i = 0; i < n; i++)
        x[i] += upper[i] * 256 + half;
}

void me_row_scaled(const int32_t *x, int8_t *y, int32_t fours, int32_t down, int32_t factor, int32_t offset,
                   int32_t shift)
{
    for (int32_t i = 0; i < 4 * fours; i++)
        y[i] = me_clip8(((x[i] >> down) * factor + offset) >> shift);
}

#endif
