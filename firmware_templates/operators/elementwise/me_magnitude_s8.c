/* SPDX-License-Identifier: Apache-2.0 */
#include "me_magnitude.h"

#include "me_math.h"
#include "me_share.h"

void me_magnitude_s8(const me_magnitude_s8_params *op, const me_magnitude_s8_tile *tile)
{
    const me_scale *scale = &op->scale;
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const int32_t a = tile->a[i] - op->a_zero, b = tile->b[i] - op->b_zero;
        const uint32_t power =
            (uint32_t)(a * a) * (uint32_t)op->a_mult + (uint32_t)(b * b) * (uint32_t)op->b_mult;
        const int32_t free = me_requant((int32_t)me_root(power), scale->pre, op->mult, op->offset, op->shift);
        const int32_t q = me_min(me_max(free, scale->low), scale->high);
        if (op->y_wide)
            ((int16_t *)tile->y)[i] = (int16_t)q;
        else
            ((int8_t *)tile->y)[i] = scale->table ? me_lookup(scale->table, (int8_t)q) : (int8_t)q;
    }
}
