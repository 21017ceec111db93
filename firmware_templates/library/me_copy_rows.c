/* SPDX-License-Identifier: Apache-2.0 */
#include "me_copy_rows.h"

#include "me_math.h"
#include "me_share.h"

enum { ME_NARROW = 16, ME_MANY = 32 };

/* Copies bytes that are contiguous in source and destination. */
static void copy_run(const int8_t *from, int8_t *to, int32_t bytes)
{
    const int32_t units = (bytes + 15) / 16, begin = 16 * ME_FIRST(units);
    const int32_t own = me_min(16 * ME_LAST(units), bytes) - begin;
    if (own > 0)
        me_copy_piece(from + begin, to + begin, own);
}

/* Copies strided rows. Cores share bytes, not rows, so that two cores may copy parts of one row. */
static void copy_pieces(const me_copy_part *part)
{
    const int32_t total = part->rows * part->bytes, units = (total + 15) / 16;
    int32_t left = me_min(16 * ME_LAST(units), total) - 16 * ME_FIRST(units);
    if (left <= 0)
        return;
    const int32_t row = 16 * ME_FIRST(units) / part->bytes;
    int32_t at = 16 * ME_FIRST(units) - row * part->bytes;
    const int8_t *from = part->from + row * part->from_step;
    int8_t *to = part->to + row * part->to_step;
    while (left > 0) {
        const int32_t n = me_min(part->bytes - at, left);
        me_copy_piece(from + at, to + at, n);
        left -= n;
        at = 0;
        to += part->to_step;
        from += part->from_step;
    }
}

/* Copies many short rows by columns: byte 0 of every row, then byte 1 of every row, and so on. */
static void copy_columns(const me_copy_part *part)
{
    const int32_t row = ME_FIRST(part->rows), rows = ME_LAST(part->rows) - row;
    const int8_t *from = part->from + row * part->from_step;
    int8_t *to = part->to + row * part->to_step;
    for (int32_t i = 0; i < part->bytes && rows > 0; i++)
        me_copy_bytes(from + i, to + i, rows, part->from_step, part->to_step);
}

void me_copy_rows(const me_copy_part *part)
{
    if (part->rows == 1 || (part->from_step == part->bytes && part->to_step == part->bytes))
        copy_run(part->from, part->to, part->rows * part->bytes);
    else if (part->bytes <= ME_NARROW && part->rows >= ME_MANY)
        copy_columns(part);
    else
        copy_pieces(part);
}
