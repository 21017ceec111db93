/* SPDX-License-Identifier: Apache-2.0 */
#include "me_layout.h"

#include "me_copy_rows.h"
#include "me_math.h"
#include "me_share.h"

/* Fills bytes >= 0 bytes with those of `word`, lowest first, without a barrier.
 * to: aligned to 4 unless all bytes of the word are equal */
static void fill(int8_t *to, int32_t bytes, uint32_t word)
{
    const int32_t units = (bytes + 15) / 16, first = 16 * ME_FIRST(units);
    const int32_t own = me_min(16 * ME_LAST(units), bytes) - first, words = own / 4;
    if (words > 0)
        me_fill_words(to + first, word, words);
    for (int32_t i = 4 * words; i < own; i++)
        to[first + i] = (int8_t)(word >> (8 * (i % 4)));
}

void me_copy_s8(const me_copy_s8_params *op, const me_copy_s8_tile *tile)
{
    if (op->fills) {
        fill(tile->y, tile->bytes, (uint32_t)op->value);
        ME_SYNC();
    }
    for (int32_t i = 0; i < tile->parts; i++)
        me_copy_rows(&tile->part[i]);
}
