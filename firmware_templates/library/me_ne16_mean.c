/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_mean.h"

#include "me_lanes.h"
#include "me_math.h"
#include "me_share.h"

static int8_t mean_of(const me_row_mean *mean, int32_t sum)
{
    const int32_t acc = sum - mean->x_zero * mean->reduced;
    const int32_t q =
        me_requant(acc, mean->scale.pre, mean->each->mult, mean->each->offset, mean->each->shift);
    const int8_t limited = me_clip(q, mean->scale.low, mean->scale.high);
    return mean->scale.table ? me_lookup(mean->scale.table, limited) : limited;
}

/* Sums n rows of k bytes, for four columns. */
static void add_columns(int32_t *sums, const int8_t *x, int32_t n, int32_t k)
{
    for (int32_t pairs = n / 2; pairs > 0; pairs--) {
        const uint32_t a = me_step_w(&x, k), b = me_step_w(&x, k);
        me_add4_b(sums, a);
        me_add4_b(sums, b);
    }
    if (n & 1)
        me_add4_b(sums, me_step_w(&x, k));
}

/* x [rows][reduced][k], y [rows][k]; cores share groups of four columns. */
static void row_means(const me_row_mean *mean, const int8_t *x, int8_t *y, int32_t rows, int32_t k)
{
    const int32_t words = (k + 3) / 4, n = rows * words, last = ME_LAST(n);
    for (int32_t at = ME_FIRST(n); at < last; at++) {
        const int32_t row = at / words, c = 4 * (at - row * words), columns = me_min(k - c, 4);
        const int8_t *from = x + row * mean->reduced * k + c;
        int32_t sums[4] = { 0 };
        if (columns == 4)
            add_columns(sums, from, mean->reduced, k);
        else
            for (int32_t i = 0; i < mean->reduced * columns; i++)
                sums[i % columns] += from[i / columns * k + i % columns];
        for (int32_t i = 0; i < columns; i++)
            y[row * k + c + i] = mean_of(mean, sums[i]);
    }
}

void me_ne16_mean(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range)
{
    const int32_t k = tile->conv.k, first = range->first;
    if (op->conv.scale.table) {
        me_ne16_finish_bytes(op, tile, range);
        ME_SYNC();
    }
    row_means(&op->mean, tile->conv.y + first * tile->unit_bytes, tile->y + first * k, range[1].first - first,
              k);
}
