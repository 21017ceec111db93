/* SPDX-License-Identifier: Apache-2.0 */
#include "me_atan2.h"

#include "me_broadcast.h"
#include "me_math.h"

/* In steps of pi / 2^15. */
static int32_t angle_of(int32_t y, int32_t x, const int16_t *angles)
{
    const int32_t a = y < 0 ? -y : y, b = x < 0 ? -x : x;
    const int32_t large = me_max(me_max(a, b), 1);
    int32_t angle = angles[(me_min(a, b) * 256 + (large >> 1)) / large];
    if (a > b)
        angle = (1 << 14) - angle;
    if (x < 0)
        angle = (1 << 15) - angle;
    return y < 0 ? -angle : angle;
}

static void atan2_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                      int32_t a_step, int32_t b_step)
{
    const me_atan2_s8_params op = *(const me_atan2_s8_params *)params;
    for (int32_t i = 0; i < n; i++) {
        const int32_t up = (a[i * a_step] - op.a_zero) * op.a_mult;
        const int32_t right = (b[i * b_step] - op.b_zero) * op.b_mult;
        const int32_t scaled =
            me_requant(angle_of(up, right, op.angles), op.scale.pre, op.mult, op.offset, op.shift);
        y[i] = me_clip(scaled, op.scale.low, op.scale.high);
    }
}

void me_atan2_s8(const me_atan2_s8_params *op, const me_atan2_s8_tile *tile)
{
    me_each_row(tile, atan2_row, 0, op, op->scale.table);
}
