/* SPDX-License-Identifier: Apache-2.0 */
#include "me_layout_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_copy_words(const int8_t *from, int8_t *to, int32_t words)
{
    for (int32_t i = 0; i < words; i++)
        me_put_w(&to, me_next_w(&from));
}

void me_fill_words(int8_t *to, uint32_t word, int32_t words)
{
    for (int32_t i = 0; i < words; i++)
        me_put_w(&to, word);
}

void me_copy_bytes(const int8_t *from, int8_t *to, int32_t n, int32_t from_step, int32_t to_step)
{
    for (int32_t i = 0; i < n; i++)
        to[i * to_step] = from[i * from_step];
}

void me_copy_runs(const me_row_runs *part)
{
    int8_t *to = part->to;
    for (int32_t run = 0; run < part->runs; run++)
        for (int32_t row = 0; row < part->rows; row++)
            for (int32_t i = 0; i < part->bytes; i++)
                *to++ = part->from[run * part->run_step + row * part->row_step + i];
}

void me_scatter_words(const int8_t *from, int8_t *to, int32_t words, int32_t rows, int32_t from_row,
                      int32_t to_step)
{
    for (int32_t row = 0; row < rows; row++)
        for (int32_t i = 0; i < 4 * words; i++)
            to[i * to_step + row] = from[row * from_row + i];
}

void me_turn_columns(const int8_t *from, int8_t *to, int32_t fours, int32_t blocks, int32_t from_step,
                     int32_t to_step)
{
    for (int32_t i = 0; i < 4 * fours; i++)
        for (int32_t j = 0; j < 4 * blocks; j++)
            to[i * to_step + j] = from[j * from_step + i];
}

#endif
