/* SPDX-License-Identifier: Apache-2.0 */
#include "me_unpack.h"

#include "me_share.h"
#include "me_unpack_words.h"

void me_unpack(const int8_t *packed, int8_t *to, int32_t words, int32_t bits, int32_t size, int32_t cores)
{
    if (!ME_IS_CONTROL_CORE()) {
        const int32_t first = ME_FIRST(words), word_bytes = 32 * size / bits;
        me_unpack_words(packed + 4 * first, to + word_bytes * first, ME_LAST(words) - first, bits, size);
    }
    ME_SYNC_OF(cores);
}
