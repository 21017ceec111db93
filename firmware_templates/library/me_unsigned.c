/* SPDX-License-Identifier: Apache-2.0 */
#include "me_unsigned.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_unsigned_words(const int8_t *x, uint8_t *y, int32_t words)
{
    for (int32_t i = 0; i < 4 * words; i++)
        y[i] = (uint8_t)(x[i] + 128);
}

void me_xor_pieces(const void *x, void *y, int32_t pieces, int32_t bytes, int32_t x_step, int32_t y_step,
                   uint32_t word)
{
    const uint8_t *from = x;
    uint8_t *to = y;
    for (int32_t piece = 0; piece < pieces; piece++, from += x_step, to += y_step)
        for (int32_t i = 0; i < bytes; i++)
            to[i] = from[i] ^ (uint8_t)(word >> 8 * (i & 1));
}

#endif
