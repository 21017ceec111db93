/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gather.h"

#include "me_copy_rows.h"
#include "me_math.h"
#include "me_share.h"

static inline int32_t inside(int32_t id, int32_t n)
{
    const int32_t least = me_max(id, -n);
    return me_min(least < 0 ? least + n : least, n - 1);
}

static inline int32_t row_at(const me_gather_s8_params *op, const me_gather_s8_tile *tile, int32_t i)
{
    const int32_t id =
        op->bytes_per_id == 4 ? ((const int32_t *)tile->ids)[i] : ((const uint8_t *)tile->ids)[i];
    return inside(id, tile->n);
}

/* A row whose elements have indices of their own, which begin at number `at`. */
static void each_element(const me_gather_s8_params *op, const me_gather_s8_tile *tile, int32_t at,
                         const int8_t *x, int8_t *y)
{
    const int32_t size = op->itemsize, n = tile->n, inner = tile->inner;
    if (size == 1 && op->bytes_per_id == 4) {
        const int32_t *ids = (const int32_t *)tile->ids + at;
        for (int32_t i = 0; i < inner; i++)
            y[i] = x[inside(ids[i], n) * inner + i];
        return;
    }
    for (int32_t i = 0; i < inner; i++) {
        const int8_t *from = x + (row_at(op, tile, at + i) * tile->inner + i) * size;
        for (int32_t byte = 0; byte < size; byte++)
            *y++ = from[byte];
    }
}

void me_gather_s8(const me_gather_s8_params *op, const me_gather_s8_tile *tile)
{
    const int32_t rows = tile->outer * tile->count, bytes = tile->inner * op->itemsize;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t outer = row / tile->count, column = row - outer * tile->count;
        const int32_t at = ((tile->sets > 1 ? outer : 0) * tile->count + column) * tile->width;
        const int8_t *x = tile->x + outer * tile->n * bytes;
        if (tile->width == 1)
            me_copy_piece(x + row_at(op, tile, at) * bytes, tile->y + row * bytes, bytes);
        else
            each_element(op, tile, at, x, tile->y + row * bytes);
    }
}
