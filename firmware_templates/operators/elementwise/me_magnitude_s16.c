/* SPDX-License-Identifier: Apache-2.0 */
#include "me_magnitude.h"

#include "me_math.h"
#include "me_share.h"

/* Number i in the common step. */
static int32_t common(const void *x, int32_t wide, int32_t zero, int32_t mult, int32_t i)
{
    const int32_t q = wide ? ((const int16_t *)x)[i] : ((const int8_t *)x)[i];
    return ((q - zero) * mult + (1 << 13)) >> 14;
}

/* In quarters; power is at most 2^31. */
static int32_t root_of(uint32_t power)
{
    const uint32_t root = power >> 28 ? me_root(power) << 2 : me_root(power << 4);
    return (int32_t)root;
}

void me_magnitude_s16(const me_magnitude_s16_params *op, const me_magnitude_s16_tile *tile)
{
    const me_scale *scale = &op->scale;
    for (int32_t i = ME_FIRST(tile->n); i < ME_LAST(tile->n); i++) {
        const int32_t a = common(tile->a, op->a_wide, op->a_zero, op->a_mult, i);
        const int32_t b = common(tile->b, op->b_wide, op->b_zero, op->b_mult, i);
        const uint32_t power = (uint32_t)(a * a) + (uint32_t)(b * b);
        const int32_t free = me_requant(root_of(power), scale->pre, op->mult, op->offset, op->shift);
        const int32_t q = me_min(me_max(free, scale->low), scale->high);
        if (op->y_wide)
            ((int16_t *)tile->y)[i] = (int16_t)q;
        else
            ((int8_t *)tile->y)[i] = scale->table ? me_lookup(scale->table, (int8_t)q) : (int8_t)q;
    }
}
