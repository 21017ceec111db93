/* SPDX-License-Identifier: Apache-2.0 */
#include "me_unpack.h"

#include "me_share.h"
#include "me_unpack_words.h"

void me_unpack_s2(const int8_t *packed, int8_t *to, int32_t words, int32_t cores)
{
    if (!ME_IS_CONTROL_CORE()) {
        const int32_t first = ME_FIRST(words);
        me_unpack_words_s2(packed + 4 * first, to + 16 * first, ME_LAST(words) - first);
    }
    ME_SYNC_OF(cores);
}
