/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"
#include "me_probability.h"

int32_t me_row_sum(const void *of_x, int32_t n, const uint16_t *exp, int32_t most)
{
    const int8_t *x = of_x;
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp[most - x[i]];
    return sum;
}

void me_row_probabilities(const void *of_x, void *of_y, int32_t n, const uint16_t *exp, int32_t most,
                          int32_t inverse, int32_t shift)
{
    const int8_t *x = of_x;
    int8_t *y = of_y;
    for (int32_t i = 0; i < n; i++)
        y[i] = (int8_t)(me_min(me_probability(exp[most - x[i]], inverse, 1, shift), 255) - 128);
}

#endif
