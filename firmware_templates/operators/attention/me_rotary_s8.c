/* SPDX-License-Identifier: Apache-2.0 */
#include "me_rotary.h"

#include "me_rotary_rows.h"
#include "me_share.h"

void me_rotary_s8(const me_rotary_s8_params *op, const me_rotary_s8_tile *tile)
{
    const int32_t spots = tile->outer * tile->positions, length = 2 * op->pairs;
    for (int32_t spot = ME_FIRST(spots); spot < ME_LAST(spots); spot++) {
        const int8_t *turns = (const int8_t *)tile->turns + spot % tile->positions * (8 * op->pairs);
        for (int32_t row = spot * op->inner; row < (spot + 1) * op->inner; row++)
            me_rotary_row(tile->x + row * length, tile->y + row * length, turns, op);
    }
}
