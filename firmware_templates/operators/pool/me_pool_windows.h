/* SPDX-License-Identifier: Apache-2.0
 * Windows of a tile, of which each core takes its part: what pooling and reductions have in common.
 */
#ifndef ME_POOL_WINDOWS_H
#define ME_POOL_WINDOWS_H

#include <stdbool.h>

#include "me_pool.h"

/* What the results of a run of columns, or one pixel's channels, have in common. */
typedef struct {
    const me_pool_s8_tile *tile;
    const me_avg_pool_s8_params *average; /* 0: maximum */
    const int8_t *x;            /* the first window's first pixel */
    int8_t *y;
    int32_t rows, columns, kind;
    int32_t pixels, pixel_step; /* windows side by side, bytes between their starts */
    int32_t first, words;       /* channels */
} me_pool_run;

/* Channels first .. first + 4 * words - 1 of all pixels of a run. */
void me_pool_any_window(const me_pool_run *run);

/* Channels `channel` .. end - 1 of all pixels of a run, one by one. */
void me_pool_run_bytes(const me_pool_run *run, int32_t channel, int32_t end);

/* Replaces channels first .. end - 1 of all results of a run by their entries in the table. */
void me_pool_through_table(const me_pool_run *run, int32_t end);

/* All windows of a tile; average: 0 for the maximum. Even windows are of few taps, alike and at one
 * distance along both axes. */
void me_pool_even(const me_pool_s8_tile *tile, const me_avg_pool_s8_params *average);
void me_pool_uneven(const me_pool_s8_tile *tile, const me_avg_pool_s8_params *average);

static inline int32_t me_window_extent(const me_window *w) { return w->last - w->first; }

static inline bool me_has_few_taps(const me_avg_pool_s8_params *average, int32_t taps)
{
    return average ? (taps == 4 || taps == 2) && average->scale.pre == 0 : taps <= 9;
}

static inline bool me_is_even(const me_pool_s8_tile *tile, const me_avg_pool_s8_params *average)
{
    return tile->rows->alike >= tile->oh && tile->columns->alike >= tile->ow && tile->c % 4 == 0
        && me_has_few_taps(average, me_window_extent(tile->rows) * me_window_extent(tile->columns))
        && !(average && average->scale.table);
}

/* Inline, as each kernel has a body of its own: with or without an average. */
static inline void me_pool_windows(const me_pool_s8_tile *tile, const me_avg_pool_s8_params *average)
{
    (me_is_even(tile, average) ? me_pool_even : me_pool_uneven)(tile, average);
}

#endif
