/* SPDX-License-Identifier: Apache-2.0 */
#include "me_dots_s16.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_dots_h(const int16_t *a, const int16_t *b, int32_t words, me_wide_sum *of)
{
    *of = (me_wide_sum){ 0, 0 };
    for (int32_t i = 0; i < words; i++, a += 2, b += 2) {
        const int32_t pair = (a[0] * b[0] - 1) + a[1] * b[1];
        of->low += (uint32_t)pair & 0xffffu;
        of->high += pair >> 16;
    }
}

#endif
