/* SPDX-License-Identifier: Apache-2.0 */
#include "me_half_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_move_halves(const int16_t *from, int16_t *to, int32_t n, int32_t from_step, int32_t to_step)
{
    for (int32_t i = 0; i < n; i++)
        to[i * (to_step / 2)] = from[i * (from_step / 2)];
}

#endif
