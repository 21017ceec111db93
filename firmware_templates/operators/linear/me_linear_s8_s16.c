/* SPDX-License-Identifier: Apache-2.0 */
#include "me_linear_s8_s16.h"

#include "me_math.h"
#include "me_recurrent_rows.h"
#include "me_share.h"

#define ME_INLINE static inline __attribute__((always_inline))

ME_INLINE int32_t filled(int32_t bytes) { return (bytes + 3) / 4 * 4; }

ME_INLINE int16_t scaled(int32_t sum, int32_t pre, const me_channel *to)
{
    return (int16_t)me_clips(me_requant(sum, pre, to->mult, to->offset, to->shift), 16);
}

ME_INLINE void begin(const me_channel *channels, int32_t *sum)
{
    for (int32_t row = 0; row < 4; row++)
        sum[row] = channels[row].bias;
}

/* Sums the remaining taps after the last whole word of a row. */
static void add_tail(const int8_t *x, int32_t c, const int8_t *weights, int32_t *sum)
{
    for (int32_t tap = c / 4 * 4; tap < c; tap++)
        for (int32_t k = 0; k < 4; k++)
            sum[k] += x[tap] * weights[c / 4 * 16 + 4 * k + tap % 4];
}

/* Computes some channels of one row. */
static void gates_row(const me_linear_s8_s16_block *block, int32_t c, int32_t row, int32_t channels)
{
    const int8_t *x = block->x + row * block->x_stride;
    int32_t sum[4];
    begin(block->channels, sum);
    if (block->words > 0)
        me_four_sums(x, block->weights, block->words, sum);
    if (c % 4)
        add_tail(x, c, block->weights, sum);
    for (int32_t k = 0; k < channels; k++)
        block->y[row * (block->y_stride / 2) + k] = scaled(sum[k], block->pre, &block->channels[k]);
}

/* Computes blocks of four channels for up to four rows. */
static void gates_blocks(const me_linear_s8_s16_params *op, const me_linear_s8_s16_tile *tile, int32_t row,
                         int32_t first, int32_t last)
{
    const int32_t c = op->c, k = tile->k, rows = tile->rows - row;
    const int32_t whole = rows >= 4 && c % 4 == 0 ? (last < k / 4 ? last : k / 4) : first;
    me_linear_s8_s16_block block = {
        tile->x + row * c,
        c,
        tile->weights + first * 4 * filled(c),
        c / 4,
        tile->channels + 4 * first,
        op->pre,
        tile->y + row * k + 4 * first,
        2 * k,
        whole - first,
    };
    if (whole > first)
        me_linear_s8_s16_4x4(&block);
    for (int32_t at = whole; at < last; at++) {
        block.weights = tile->weights + at * 4 * filled(c);
        block.channels = tile->channels + 4 * at;
        block.y = tile->y + row * k + 4 * at;
        for (int32_t i = 0; i < rows && i < 4; i++)
            gates_row(&block, c, i, k - 4 * at < 4 ? k - 4 * at : 4);
    }
}

void me_linear_s8_s16(const me_linear_s8_s16_params *op, const me_linear_s8_s16_tile *tile)
{
    const int32_t blocks = (tile->k + 3) / 4, all = (tile->rows + 3) / 4 * blocks;
    const int32_t first = ME_FIRST(all), last = ME_LAST(all);
    int32_t group = first / blocks, block = first - group * blocks;
    for (int32_t left = last - first; left > 0; group++) {
        const int32_t end = block + left < blocks ? block + left : blocks;
        gates_blocks(op, tile, 4 * group, block, end);
        left -= end - block;
        block = 0;
    }
}
