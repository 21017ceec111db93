/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_intrinsics.h"

void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum)
{
    for (int32_t word = 0; word < words; word++) {
        const uint32_t taps = me_next_w(&x);
        for (int32_t row = 0; row < 4; row++)
            sum[row] = me_sdotsp_b(sum[row], taps, me_next_w(&weights));
    }
}

#endif
