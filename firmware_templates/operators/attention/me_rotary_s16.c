/* SPDX-License-Identifier: Apache-2.0 */
#include "me_rotary.h"

#include "me_share.h"
#include "me_wide.h"

/* The pairs of a row that begins at element `at`. */
static void turn_row(const me_rotary_s16_params *params, const me_rotary_s16_tile *tile, int32_t at,
                     const int16_t *turns)
{
    const me_rotary_s16_params op = *params;
    const void *const x = tile->x;
    void *const y = tile->y;
    for (int32_t i = 0; i < op.pairs; i++, at += op.first, turns += 4) {
        const int32_t a = me_wide_load(x, at, op.x_wide) - op.x_zero;
        const int32_t b = me_wide_load(x, at + op.apart, op.x_wide) - op.x_zero;
        const int32_t first = me_mac(me_mac(op.offset, a, turns[0]), b, turns[1]) >> op.shift;
        const int32_t second = me_mac(me_mac(op.offset, a, turns[2]), b, turns[3]) >> op.shift;
        me_limited_store(y, at, op.y_wide, first, op.low, op.high);
        me_limited_store(y, at + op.apart, op.y_wide, second, op.low, op.high);
    }
}

void me_rotary_s16(const me_rotary_s16_params *op, const me_rotary_s16_tile *tile)
{
    const int32_t spots = tile->outer * tile->positions;
    for (int32_t spot = ME_FIRST(spots); spot < ME_LAST(spots); spot++) {
        const int16_t *turns = (const int16_t *)tile->turns + spot % tile->positions * (4 * op->pairs);
        for (int32_t row = spot * op->inner; row < (spot + 1) * op->inner; row++)
            turn_row(op, tile, row * 2 * op->pairs, turns);
    }
}
