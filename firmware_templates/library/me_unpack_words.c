/* SPDX-License-Identifier: Apache-2.0 */
#include "me_unpack_words.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_unpack_words(const int8_t *packed, int8_t *to, int32_t words, int32_t bits, int32_t size)
{
    const int32_t sign = 1 << (bits - 1);
    for (int32_t word = 0; word < words; word++, packed += 4)
        for (int32_t part = 0; part < 8 * size; part += bits)
            for (int32_t i = 0; i < 4; i += size) {
                const int32_t lane = (uint8_t)packed[i] | (uint8_t)packed[i + size - 1] << 8 * (size - 1);
                const int32_t weight = ((lane >> part & (2 * sign - 1)) ^ sign) - sign;
                *to++ = (int8_t)weight;
                if (size == 2)
                    *to++ = (int8_t)(weight >> 8);
            }
}

#endif
