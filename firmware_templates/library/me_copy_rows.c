/* SPDX-License-Identifier: Apache-2.0 */
#include "me_copy_rows.h"

#include "me_math.h"
#include "me_share.h"

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

static void fill_piece(int8_t *to, uint32_t word, int32_t bytes)
{
    const int32_t words = bytes / 4;
    if (words > 0)
        me_fill_words(to, word, words);
    for (int32_t i = 4 * words; i < bytes; i++)
        to[i] = (int8_t)(word & 255u);
}

/* Shares bytes, not rows: a piece may be of two cores. `word`: filled with it, or copied */
static void each_piece(const me_copy_part *part, const uint32_t *word)
{
    const int32_t total = part->rows * part->bytes, units = (total + 15) / 16;
    int32_t left = least(16 * ME_LAST(units), total) - 16 * ME_FIRST(units);
    if (left <= 0)
        return;
    const int32_t row = 16 * ME_FIRST(units) / part->bytes;
    int32_t at = 16 * ME_FIRST(units) - row * part->bytes;
    const int8_t *from = part->from + (word ? 0 : row * part->from_step);
    int8_t *to = part->to + row * part->to_step;
    while (left > 0) {
        const int32_t n = least(part->bytes - at, left);
        if (word)
            fill_piece(to + at, *word, n);
        else
            me_copy_piece(from + at, to + at, n);
        left -= n;
        at = 0;
        to += part->to_step;
        if (!word)
            from += part->from_step;
    }
}

void me_copy_rows(const me_copy_part *part)
{
    if (part->from_step == part->bytes && part->to_step == part->bytes) {
        const me_copy_part whole = { part->from, part->to, 1, part->rows * part->bytes, 0, 0 };
        each_piece(&whole, 0);
    } else
        each_piece(part, 0);
}

void me_fill_rows(const me_copy_part *part, int8_t value)
{
    const uint32_t word = me_pack_b(value, value, value, value);
    each_piece(part, &word);
}
