/* SPDX-License-Identifier: Apache-2.0 */
#include "me_linear_s16.h"

#include "me_linear_s16_rows.h"
#include "me_math.h"
#include "me_share.h"
#include "me_table.h"

#define FEW_BLOCKS 4 /* up to which cores share single channels: blocks would not occupy all of them */

/* Copies words [first, last) of a row; zeros follow its last value. */
static void copy_words(const me_linear_s16_params *op, const me_linear_s16_tile *tile, int32_t row,
                       int32_t first, int32_t last)
{
    const int32_t bytes = me_linear_s16_row_bytes(op->c), whole = me_min(last, op->c / 4);
    const int32_t at = row * op->c + 4 * first, rest = op->c % 4;
    int8_t *to = tile->scratch + row * bytes;
    const int8_t *x = (const int8_t *)tile->x + (at << op->x_wide);
    if (whole > first)
        me_split_row(x, op->x_wide, whole - first, to, bytes / 2, first);
    if (last <= whole)
        return;
    int16_t end[4] = { 0 };
    x += 4 * (whole - first) << op->x_wide;
    for (int32_t i = 0; i < rest; i++)
        end[i] = op->x_wide ? ((const int16_t *)(const void *)x)[i] : x[i];
    me_split_row(end, 1, 1, to, bytes / 2, whole);
}

static void copy_rows(const me_linear_s16_params *op, const me_linear_s16_tile *tile)
{
    const int32_t words = (op->c + 3) / 4, all = tile->rows * words, end = ME_LAST(all);
    int32_t at = ME_FIRST(all), row = tile->rows == 1 ? 0 : at / words;
    for (int32_t left = end - at; left > 0; row++) {
        const int32_t first = at - row * words, last = me_min(first + left, words);
        copy_words(op, tile, row, first, last);
        at += last - first;
        left -= last - first;
    }
}

/* Requantises and stores n sums of a row. */
static void store(const me_linear_s16_params *op, const me_linear_s16_tile *tile, int32_t row,
                  int32_t channel, int32_t n, const int32_t *sum)
{
    int8_t *const y = (int8_t *)tile->y + ((row * tile->k + channel) << op->y_wide);
    me_split_store(sum, tile->channels + channel, &op->scale, y, n, op->y_wide);
    if (op->scale.table)
        me_table_row(op->scale.table, y, y, n);
}

/* Computes blocks [first, last) of four channels for one row, or for two. */
static void blocks_of_rows(const me_linear_s16_params *op, const me_linear_s16_tile *tile, int32_t row,
                           int32_t first, int32_t last)
{
    const int32_t words = (op->c + 3) / 4, bytes = me_linear_s16_row_bytes(op->c);
    const int32_t rows = me_min(tile->rows - row, 2);
    const int8_t *x = tile->scratch + row * bytes;
    int32_t sum[2 * ME_SPLIT_SUMS];
    for (; first < last; first += ME_SPLIT_SUMS / 4) {
        const int32_t blocks = me_min(last - first, ME_SPLIT_SUMS / 4), channel = 4 * first;
        const int32_t n = me_min(tile->k - channel, 4 * blocks);
        const int8_t *weights = tile->weights + channel * 4 * words;
        const me_channel *channels = tile->channels + channel;
        me_split_sums(x, bytes / 2, weights, words, channels, sum, blocks, rows);
        for (int32_t i = 0; i < rows; i++)
            store(op, tile, row + i, channel, n, sum + i * ME_SPLIT_SUMS);
    }
}

/* Computes the channels of a single row, each by one core. */
static void channels_of_row(const me_linear_s16_params *op, const me_linear_s16_tile *tile)
{
    const int32_t words = (op->c + 3) / 4, half = me_linear_s16_row_bytes(op->c) / 2;
    const int32_t first = ME_FIRST(tile->k), end = ME_LAST(tile->k);
    int32_t sum[4 * FEW_BLOCKS];
    for (int32_t channel = first; channel < end; channel++) {
        const int8_t *weights = tile->weights + channel / 4 * 16 * words + channel % 4 * 4;
        sum[channel - first] =
            me_split_sum(tile->scratch, half, weights, words, tile->channels[channel].bias);
    }
    if (end > first)
        store(op, tile, 0, first, end - first, sum);
}

void me_linear_s16(const me_linear_s16_params *op, const me_linear_s16_tile *tile)
{
    const int32_t blocks = (tile->k + 3) / 4, all = (tile->rows + 1) / 2 * blocks;
    const int32_t first = ME_FIRST(all), last = ME_LAST(all);
    copy_rows(op, tile);
    ME_SYNC();
    if (all <= FEW_BLOCKS && tile->rows == 1) {
        channels_of_row(op, tile);
        return;
    }
    int32_t pair = tile->rows <= 2 ? 0 : first / blocks, block = first - pair * blocks;
    for (int32_t left = last - first; left > 0; pair++) {
        const int32_t end = me_min(block + left, blocks);
        blocks_of_rows(op, tile, 2 * pair, block, end);
        left -= end - block;
        block = 0;
    }
}
