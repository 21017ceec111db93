/* SPDX-License-Identifier: Apache-2.0
 * Rows of numbers of 8 or 16 bits of which some may be hidden, and their exponentials.
 */
#ifndef ME_WIDE_ROWS_H
#define ME_WIDE_ROWS_H

#include "me_math.h"
#include "me_softmax.h"
#include "me_wide.h"

/* x, mask   the first number's; 0 for mask: all are seen      n   numbers, `step` apart
 * equal     whether all count as 0 */
typedef struct {
    const int8_t *x, *mask;
    int32_t wide, n, step, equal;
} me_wide_row;

/* masked   whether the row may have a mask: a constant where these are called */
static inline int32_t me_is_seen(me_wide_row row, int32_t at, int32_t masked)
{
    return !masked || row.mask == 0 || row.mask[at] >= 0;
}

static inline int32_t me_number_at(me_wide_row row, int32_t at, int32_t masked)
{
    return masked && row.equal ? 0 : me_wide_load(row.x, at, row.wide);
}

static inline int32_t me_wide_row_max(me_wide_row row, int32_t masked)
{
    const int32_t end = row.n * row.step, step = row.step;
    int32_t most = -32768;
    for (int32_t at = 0; at < end; at += step)
        if (me_is_seen(row, at, masked))
            most = me_max(most, me_number_at(row, at, masked));
    return most;
}

/* exp of a distance, in Q15 */
static inline uint32_t me_exponential(me_exponentials exp, int32_t distance)
{
    return ((uint32_t)exp.near[distance & 255] * exp.far[distance >> 8] + (1u << 14)) >> 15;
}

static inline uint32_t me_wide_row_sum(me_wide_row row, me_exponentials exp, int32_t most, int32_t masked)
{
    const int32_t end = row.n * row.step, step = row.step;
    uint32_t sum = 0;
    for (int32_t at = 0; at < end; at += step)
        if (me_is_seen(row, at, masked))
            sum += me_exponential(exp, most - me_number_at(row, at, masked));
    return sum;
}

#endif
