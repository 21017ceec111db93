/* SPDX-License-Identifier: Apache-2.0
 * Loads and stores of single values that are int8 or int16.
 */
#ifndef ME_WIDE_H
#define ME_WIDE_H

#include <stdint.h>

#include "me_math.h"
#include "me_scale.h"

/* -> value i of x, int16 if `wide`, otherwise int8 */
static inline int32_t me_load_wide(const void *x, int32_t i, int32_t wide)
{
    return wide ? ((const int16_t *)x)[i] : ((const int8_t *)x)[i];
}

/* -> the sum of n values of x, `step` apart; it fits int32 */
static inline int32_t me_sum_wide(const void *x, int32_t at, int32_t n, int32_t step, int32_t wide)
{
    const int16_t *halves = (const int16_t *)x + at;
    const int8_t *bytes = (const int8_t *)x + at;
    int32_t sum = 0;
    if (wide)
        for (; n > 0; n--, halves += step)
            sum += *halves;
    else
        for (; n > 0; n--, bytes += step)
            sum += *bytes;
    return sum;
}

/* Stores a value, clamped to the range of its type. */
static inline void me_store_saturated(void *y, int32_t i, int32_t wide, int32_t number)
{
    if (wide)
        ((int16_t *)y)[i] = (int16_t)me_clips(number, 16);
    else
        ((int8_t *)y)[i] = me_clip8(number);
}

/* Stores a value, clamped to [low, high]. */
static inline void me_store_clamped(void *y, int32_t i, int32_t wide, int32_t number, int32_t low,
                                    int32_t high)
{
    const int32_t limited = me_min(me_max(number, low), high);
    if (wide)
        ((int16_t *)y)[i] = (int16_t)limited;
    else
        ((int8_t *)y)[i] = (int8_t)limited;
}

/* Stores a result, clamped to [scale->low, scale->high]; int8 results are then looked up in the table. */
static inline void me_store_result(void *y, int32_t i, int32_t wide, const me_scale *scale, int32_t number)
{
    const int32_t limited = me_min(me_max(number, scale->low), scale->high);
    if (wide)
        ((int16_t *)y)[i] = (int16_t)limited;
    else
        ((int8_t *)y)[i] = scale->table ? me_lookup(scale->table, (int8_t)limited) : (int8_t)limited;
}

#endif
