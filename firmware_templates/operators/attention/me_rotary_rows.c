/* SPDX-License-Identifier: Apache-2.0 */
#include "me_rotary_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

void me_rotary_row(const int8_t *x, int8_t *y, const int8_t *turns, const me_rotary_s8_params *op)
{
    for (int32_t i = 0; i < op->pairs; i++) {
        const uint32_t pair = me_pack_h(x[2 * i] - op->x_zero, x[2 * i + 1] - op->x_zero);
        y[2 * i] = me_clip8(me_sdotsp_h(op->offset, pair, me_next_w(&turns)) >> op->shift);
        y[2 * i + 1] = me_clip8(me_sdotsp_h(op->offset, pair, me_next_w(&turns)) >> op->shift);
    }
}

void me_rotary_halves_row(const int8_t *x, int8_t *y, const int8_t *turns, const me_rotary_s8_params *op)
{
    const int32_t n = op->pairs;
    for (int32_t i = 0; i < n; i++) {
        const uint32_t pair = me_pack_h(x[i] - op->x_zero, x[n + i] - op->x_zero);
        y[i] = me_clip8(me_sdotsp_h(op->offset, pair, me_next_w(&turns)) >> op->shift);
        y[n + i] = me_clip8(me_sdotsp_h(op->offset, pair, me_next_w(&turns)) >> op->shift);
    }
}

#endif
