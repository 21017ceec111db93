/* SPDX-License-Identifier: Apache-2.0 */
#include "me_maximum.h"

#include "me_broadcast.h"
#include "me_math.h"

static void maximum_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                        int32_t a_step, int32_t b_step)
{
    const me_maximum_s8_params op = *(const me_maximum_s8_params *)params;
    for (int32_t i = 0; i < n; i++) {
        const int32_t left = me_mac(op.a_offset, a[i * a_step], op.a_mult) >> op.a_shift;
        const int32_t right = me_mac(op.b_offset, b[i * b_step], op.b_mult) >> op.b_shift;
        y[i] = me_clip(me_max(left, right), op.scale.low, op.scale.high);
    }
}

void me_maximum_s8(const me_maximum_s8_params *op, const me_maximum_s8_tile *tile)
{
    me_each_row(tile, maximum_row, 0, op, op->scale.table);
}
