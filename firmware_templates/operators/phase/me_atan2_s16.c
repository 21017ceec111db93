/* SPDX-License-Identifier: Apache-2.0 */
#include "me_atan2_s16.h"

#include "me_share.h"
#include "me_wide.h"

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

/* n results from one on; a and b at these elements. */
static void turn(const me_atan2_s16_params *params, const me_atan2_s16_tile *tile, int32_t a, int32_t b,
                 int32_t y, int32_t n)
{
    const me_atan2_s16_params op = *params;
    for (; n > 0; n--, a += !op.a_once, b += !op.b_once, y++) {
        const int32_t up = me_wide_load(tile->a, a, op.a_wide) - op.a_zero;
        const int32_t right = me_wide_load(tile->b, b, op.b_wide) - op.b_zero;
        int32_t angle = fine_angle_of(coordinate(up, op.a_mult), coordinate(right, op.b_mult), op.angles);
        if (right < 0)
            angle = (1 << 16) - angle;
        const int32_t scaled =
            me_requant(up < 0 ? -angle : angle, op.scale.pre, op.mult, op.offset, op.shift);
        me_wide_store(tile->y, y, op.y_wide, &op.scale, scaled);
    }
}

void me_atan2_s16(const me_atan2_s16_params *op, const me_atan2_s16_tile *tile)
{
    const int32_t width = tile->n, last = ME_LAST(tile->rows * width);
    for (int32_t at = ME_FIRST(tile->rows * width), n; at < last; at += n) {
        const int32_t row = at / width, column = at - row * width;
        n = me_min(width - column, last - at);
        turn(op, tile, row * tile->a_row + (op->a_once ? 0 : column),
             row * tile->b_row + (op->b_once ? 0 : column), at, n);
    }
}
