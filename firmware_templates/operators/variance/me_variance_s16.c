/* SPDX-License-Identifier: Apache-2.0 */
#include "me_variance_s16.h"

#include "me_share.h"
#include "me_spread.h"
#include "me_wide.h"

/* Of up to 2^16 numbers: of bytes the squares keep within 32 bits. */
typedef struct {
    int32_t total;
    uint64_t squares;
} sums;

static sums wide_sums(const int16_t *x, int32_t n, int32_t step)
{
    sums of = { 0, 0 };
    for (; n > 0; n--, x += step) {
        const int32_t value = *x;
        of.total += value;
        of.squares += (uint32_t)(value * value);
    }
    return of;
}

static sums narrow_sums(const int8_t *x, int32_t n, int32_t step)
{
    int32_t total = 0;
    uint32_t squares = 0;
    for (; n > 0; n--, x += step) {
        const int32_t value = *x;
        total += value;
        squares += (uint32_t)(value * value);
    }
    return (sums){ total, squares };
}

void me_variance_s16(const me_variance_s16_params *params, const me_variance_s16_tile *tile)
{
    const me_variance_s16_params op = *params;
    const me_variance_s8_params spread = { op.reduced, op.centred, op.root,   op.x_zero, op.up,
                                           op.down,    op.mult,    op.offset, op.shift,  op.scale };
    const int32_t inner = tile->inner, n = tile->outer * inner;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const int32_t outer = i / inner, at = outer * op.reduced * inner + (i - outer * inner);
        const sums of = op.x_wide ? wide_sums((const int16_t *)tile->x + at, op.reduced, inner)
                                  : narrow_sums((const int8_t *)tile->x + at, op.reduced, inner);
        me_wide_store(tile->y, i, op.y_wide, &op.scale,
                      me_spread_scaled(&spread, of.total, (int64_t)of.squares));
    }
}
