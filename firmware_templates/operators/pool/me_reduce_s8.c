/* SPDX-License-Identifier: Apache-2.0 */
#include "me_reduce_s8.h"

#include "me_math.h"
#include "me_pool.h"
#include "me_pool_rows.h"
#include "me_pool_windows.h"
#include "me_share.h"

static void reduce_rows(const me_reduce_s8_params *op, const me_reduce_s8_tile *tile)
{
    const me_scale *scale = &op->scale;
    const int32_t words = op->reduced / 4;
    for (int32_t row = ME_FIRST(tile->outer); row < ME_LAST(tile->outer); row++) {
        const int8_t *from = tile->x + row * op->reduced;
        int32_t sum = words > 0 ? me_sum_bytes(from, words) : 0;
        for (int32_t i = 4 * words; i < op->reduced; i++)
            sum += from[i];
        sum -= op->x_zero * op->reduced;
        const int32_t q = me_requant(sum, scale->pre, op->each->mult, op->each->offset, op->each->shift);
        const int8_t limited = me_clip(q, scale->low, scale->high);
        tile->y[row] = scale->table ? me_lookup(scale->table, limited) : limited;
    }
}

/* A window over all rows of an image one column wide. */
static void reduce_images(const me_reduce_s8_params *op, const me_reduce_s8_tile *tile)
{
    const me_avg_pool_s8_params average = { op->x_zero, 1, op->each, op->scale };
    me_pool_s8_tile image;
    me_pool_run run;
    image.c = image.row_stride = image.y_stride = tile->inner;
    run.tile = &image;
    run.average = &average;
    run.rows = op->reduced;
    run.columns = run.pixels = 1;
    run.kind = run.pixel_step = 0;
    const int32_t words = (tile->inner + 3) / 4, n = tile->outer * words;
    int32_t at = ME_FIRST(n);
    const int32_t last = ME_LAST(n);
    while (at < last) {
        const int32_t number = at / words, word = at - number * words;
        const int32_t most = me_min(words - word, last - at);
        const int32_t end = me_min(4 * (word + most), tile->inner);
        run.first = 4 * word;
        run.words = (end - run.first) / 4;
        run.x = tile->x + number * op->reduced * tile->inner;
        run.y = tile->y + number * tile->inner;
        if (run.words > 0)
            me_pool_any_window(&run);
        if (run.first + 4 * run.words < end)
            me_pool_run_bytes(&run, run.first + 4 * run.words, end);
        if (op->scale.table)
            me_pool_through_table(&run, end);
        at += most;
    }
}

void me_reduce_s8(const me_reduce_s8_params *op, const me_reduce_s8_tile *tile)
{
    if (tile->inner == 1)
        reduce_rows(op, tile);
    else
        reduce_images(op, tile);
}
