/* SPDX-License-Identifier: Apache-2.0 */
#include "me_unpack_words.h"

#if !defined ME_GAP9 || defined ME_SDK

static void unpack(const int8_t *packed, int8_t *to, int32_t words, int32_t bits)
{
    const int32_t sign = 1 << (bits - 1);
    for (int32_t word = 0; word < words; word++, packed += 4)
        for (int32_t part = 0; part < 8; part += bits)
            for (int32_t i = 0; i < 4; i++) {
                const int32_t raw = (uint8_t)packed[i] >> part & (2 * sign - 1);
                *to++ = (int8_t)((raw ^ sign) - sign);
            }
}

void me_unpack_words_s4(const int8_t *packed, int8_t *to, int32_t words) { unpack(packed, to, words, 4); }

void me_unpack_words_s2(const int8_t *packed, int8_t *to, int32_t words) { unpack(packed, to, words, 2); }

#endif
