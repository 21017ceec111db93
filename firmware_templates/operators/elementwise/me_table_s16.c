/* SPDX-License-Identifier: Apache-2.0 */
#include "me_functions_s16.h"

#include "me_math.h"
#include "me_points.h"
#include "me_share.h"

static void between_s16(const me_table_s16_params *op, const int16_t *x, int16_t *y, int32_t n)
{
    const int16_t *const table = op->table;
    for (const int32_t zero = op->x_zero; n > 0; n--)
        *y++ = (int16_t)me_clips(me_between_points(table, *x++ - zero, 0), 16);
}

static void between_s8(const me_table_s16_params *op, const int16_t *x, int8_t *y, int32_t n)
{
    const int16_t *const table = op->table;
    for (const int32_t zero = op->x_zero; n > 0; n--)
        *y++ = (int8_t)me_clips(me_between_points(table, *x++ - zero, 8), 8);
}

void me_table_s16(const me_table_s16_params *op, const me_table_s16_tile *tile)
{
    const int16_t *const table = op->table, *const x = tile->x;
    const int8_t *const bytes = tile->x;
    int16_t *const y = tile->y;
    const int32_t first = ME_FIRST(tile->n), last = ME_LAST(tile->n);
    if (!op->x_wide)
        for (int32_t i = first; i < last; i++)
            y[i] = table[bytes[i] + 128];
    else if (op->y_wide)
        between_s16(op, x + first, y + first, last - first);
    else
        between_s8(op, x + first, (int8_t *)tile->y + first, last - first);
}
