/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

int32_t me_row_max(const int8_t *x, int32_t n, int32_t step)
{
    int32_t most = -128;
    for (int32_t i = 0; i < n; i++)
        most = me_max(most, x[i * step]);
    return most;
}

uint32_t me_row_sum(const int8_t *x, int32_t n, int32_t step, const uint16_t *exp, int32_t most)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp[most - x[i * step]];
    return sum;
}

void me_row_probabilities(const int8_t *x, int8_t *y, int32_t n, int32_t step, const uint16_t *exp,
                          int32_t most, uint32_t inverse, int32_t shift)
{
    for (int32_t i = 0; i < n; i++) {
        const uint32_t share = exp[most - x[i * step]] * inverse >> 15;
        y[i * step] = (int8_t)(me_minu((share + (1u << (shift - 1))) >> shift, 255) - 128u);
    }
}

#endif
