/* SPDX-License-Identifier: Apache-2.0 */
#include "me_variance.h"

#include "me_group_rows.h"
#include "me_share.h"
#include "me_spread.h"

static me_moments moments_of(const int8_t *x, int32_t n, int32_t step)
{
    me_moments of = { 0, 0 }, rest = { 0, 0 };
    const int32_t words = step == 1 ? n / 4 : 0;
    if (words > 0)
        me_moments_b(x, words, &of);
    if (4 * words < n)
        me_moments_apart(x + 4 * words * step, n - 4 * words, step, &rest);
    return (me_moments){ of.total + rest.total, of.squares + rest.squares };
}

static int8_t result_of(const me_variance_s8_params *op, me_moments of)
{
    const int32_t scaled = me_spread_scaled(op, of.total, of.squares);
    const int8_t y = me_clip(scaled, op->scale.low, op->scale.high);
    return op->scale.table ? me_lookup(op->scale.table, y) : y;
}

void me_variance_s8(const me_variance_s8_params *op, const me_variance_s8_tile *tile)
{
    const int32_t inner = tile->inner, n = tile->outer * inner;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++) {
        const int32_t outer = i / inner, at = outer * op->reduced * inner + (i - outer * inner);
        tile->y[i] = result_of(op, moments_of(tile->x + at, op->reduced, inner));
    }
}
