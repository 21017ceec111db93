/* SPDX-License-Identifier: Apache-2.0 */
#include "me_table_column.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_table_column(const int8_t *zero, const int8_t *x, int8_t *y, int32_t n, int32_t step)
{
    for (int32_t i = 0; i < n; i++)
        y[i * step] = zero[x[i * step]];
}

#endif
