/* SPDX-License-Identifier: Apache-2.0 */
#include "me_product_sums.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_product_sums(const int32_t *sums, int32_t rows, int32_t sum_step, int8_t *y, int32_t y_step,
                     const me_product_scale *by)
{
    for (int32_t row = 0; row < rows; row++)
        for (int32_t i = 0; i < 4; i++) {
            const int32_t sum = sums[row * (sum_step / 4) + i];
            y[row * y_step + i] =
                me_clip(me_requant(sum, by->pre, by->mult, by->offset, by->shift), by->low, by->high);
        }
}

#endif
