/* SPDX-License-Identifier: Apache-2.0 */
#include "me_unsigned.h"

#if !defined ME_GAP9 || defined ME_SDK

void me_unsigned_words(const int8_t *x, uint8_t *y, int32_t words)
{
    for (int32_t i = 0; i < 4 * words; i++)
        y[i] = (uint8_t)(x[i] + 128);
}

#endif
