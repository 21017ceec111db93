/* SPDX-License-Identifier: Apache-2.0
 * Copies rows of bytes on all cores together; each core copies a part of the bytes.
 */
#ifndef ME_COPY_ROWS_H
#define ME_COPY_ROWS_H

#include "me_layout.h"
#include "me_layout_rows.h"

/* Copies bytes >= 0 bytes on one core; any alignment, source and destination must not overlap. */
static inline void me_copy_piece(const int8_t *from, int8_t *to, int32_t bytes)
{
    const int32_t words = bytes / 4, rest = bytes % 4;
    if (words > 0)
        me_copy_words(from, to, words);
    if (rest > 0)
        me_copy_bytes(from + 4 * words, to + 4 * words, rest, 1, 1);
}

/* Copies rows >= 0 rows of bytes >= 0 bytes each on all cores, without a barrier. */
void me_copy_rows(const me_copy_part *part);

#endif
