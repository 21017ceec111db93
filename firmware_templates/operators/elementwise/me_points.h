/* SPDX-License-Identifier: Apache-2.0
 * A function of an int16 value, interpolated between tabulated points.
 */
#ifndef ME_POINTS_H
#define ME_POINTS_H

#include "me_math.h"

#define ME_TABLE_HALF 706 /* points per sign: up to a magnitude of 2^16 */

/* The function at v, -65,535 to 65,535, not yet limited: interpolated linearly between the points next to
 * |v|, rounded to nearest.
 * table  function values in units of 2 * 2^-drop result steps: ME_TABLE_HALF for positive v, then as many
 *        for negative v. Points are at the magnitudes 0 .. 63, then 64 per octave */
static inline int32_t me_between_points(const int16_t *table, int32_t v, int32_t drop)
{
    const int32_t size = me_abs(v), shift = me_fl1((uint32_t)size | 64u) - 6, head = size >> shift;
    const int16_t *low = table + (v < 0 ? ME_TABLE_HALF : 0) + head + shift * 64;
    const int32_t rest = size - head * (1 << shift), bits = shift + drop;
    const int32_t line = low[0] * (1 << shift) + (low[1] - low[0]) * rest;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): bits are at most 17 */
    return (2 * line + (1 << bits >> 1)) >> bits;
}

#endif
