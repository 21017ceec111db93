/* SPDX-License-Identifier: Apache-2.0 */
#include "me_table_s16.h"

#include "me_math.h"
#include "me_share.h"

/* The function at v = x - x_zero: `drop` bits fewer than its points have. */
static inline int32_t between(const int16_t *table, int32_t v, int32_t drop)
{
    const int32_t size = me_abs(v), shift = me_max(me_fl1((uint32_t)size | 64u) - 6, 0);
    const int16_t *low = table + (v < 0 ? ME_TABLE_HALF : 0) + (size >> shift) + (shift << 6);
    const int32_t rest = size & ((1 << shift) - 1), bits = shift + drop;
    return (low[0] * (1 << shift) + (low[1] - low[0]) * rest + (1 << bits >> 1)) >> bits;
}

static inline void put(void *y, int32_t i, int32_t wide, int32_t q)
{
    if (wide)
        ((int16_t *)y)[i] = (int16_t)q;
    else
        ((int8_t *)y)[i] = (int8_t)me_clips(q, 8);
}

void me_table_s16(const me_table_s16_params *op, const me_table_s16_tile *tile)
{
    const int16_t *table = op->table, *x = tile->x;
    const int8_t *bytes = tile->x;
    const int32_t zero = op->x_zero, drop = op->drop, wide = op->y_wide;
    const int32_t first = ME_FIRST(tile->n), last = ME_LAST(tile->n);
    if (op->x_wide)
        for (int32_t i = first; i < last; i++)
            put(tile->y, i, wide, between(table, x[i] - zero, drop));
    else
        for (int32_t i = first; i < last; i++)
            put(tile->y, i, wide, table[bytes[i] + 128]);
}
