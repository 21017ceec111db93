/* SPDX-License-Identifier: Apache-2.0 */
#include "me_half_products.h"

#if !defined ME_GAP9 || defined ME_SDK

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

#endif
