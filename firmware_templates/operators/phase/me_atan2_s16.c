/* SPDX-License-Identifier: Apache-2.0 */
#include "me_wide_pairs.h"

/* Of magnitudes, in steps of pi / 2^16, between two entries on a line. */
static int32_t fine_angle_of(int32_t y, int32_t x, const int16_t *angles)
{
    const uint32_t a = (uint32_t)(y < 0 ? -y : y), b = (uint32_t)(x < 0 ? -x : x);
    const uint32_t large = me_maxu(me_maxu(a, b), 1),
                   quotient = ((me_minu(a, b) << 16) + (large >> 1)) / large;
    const int16_t *at = angles + (quotient >> 8);
    const int32_t angle = at[0] + (((at[1] - at[0]) * (int32_t)(quotient & 255) + 128) >> 8);
    return a > b ? (1 << 15) - angle : angle;
}

/* In the step of both coordinates, in which small ones are 0. */
static inline int32_t coordinate(int32_t x, int32_t mult) { return (x * mult + (1 << 13)) >> 14; }

static void turn(const void *params, const me_wide_pairs_tile *tile, int32_t a, int32_t b, int32_t y,
                 int32_t n)
{
    const me_atan2_s16_params op = *(const me_atan2_s16_params *)params;
    for (; n > 0; n--, a += !op.a_once, b += !op.b_once, y++) {
        const int32_t up = me_wide_load(tile->a, a, op.a_wide) - op.a_zero;
        const int32_t right = me_wide_load(tile->b, b, op.b_wide) - op.b_zero;
        int32_t angle = fine_angle_of(coordinate(up, op.a_mult), coordinate(right, op.b_mult), op.angles);
        if (right < 0)
            angle = (1 << 16) - angle;
        const int32_t scaled =
            me_requant(up < 0 ? -angle : angle, op.scale.pre, op.mult, op.offset, op.shift);
        me_limited_store(tile->y, y, op.y_wide, scaled, op.scale.low, op.scale.high);
    }
}

void me_atan2_s16(const me_atan2_s16_params *op, const me_atan2_s16_tile *tile)
{
    me_each_wide_pair(tile, turn, op, op->a_once, op->b_once, op->scale.table);
}
