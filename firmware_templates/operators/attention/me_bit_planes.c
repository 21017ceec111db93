/* SPDX-License-Identifier: Apache-2.0 */
#include "me_bit_planes.h"

#if !defined ME_GAP9 || defined ME_SDK

int32_t me_bit_planes(const int8_t *x, int32_t groups, uint8_t *planes)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < 16 * groups; i++) {
        uint8_t *group = planes + i / 16 * 16 + i % 16 / 8;
        for (int32_t bit = 0; bit < 8; bit++) {
            const int32_t kept = i % 8 ? group[2 * bit] : 0;
            group[2 * bit] = (uint8_t)(kept | ((x[i] + 128) >> bit & 1) << i % 8);
        }
        sum += x[i];
    }
    return sum;
}

#endif
