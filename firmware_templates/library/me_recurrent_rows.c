/* SPDX-License-Identifier: Apache-2.0 */
#include "me_recurrent_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum)
{
    for (int32_t word = 0; word < words; word++) {
        const uint32_t taps = me_next_w(&x);
        for (int32_t row = 0; row < 4; row++)
            sum[row] = me_sdotsp_b(sum[row], taps, me_next_w(&weights));
    }
}

void me_gates_4x4(const me_gates_block *block)
{
    for (int32_t row = 0; row < 4; row++) {
        const me_channel *to = block->channels;
        int16_t *y = block->y + row * (block->y_stride / 2);
        int32_t sum[4] = { to[0].bias, to[1].bias, to[2].bias, to[3].bias };
        me_four_sums(block->x + row * block->x_stride, block->weights, block->words, sum);
        for (int32_t k = 0; k < 4; k++)
            y[k] = (int16_t)me_clips(me_requant(sum[k], block->pre, to[k].mult, to[k].offset, to[k].shift), 16);
    }
}

#endif
