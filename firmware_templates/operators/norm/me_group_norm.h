/* SPDX-License-Identifier: Apache-2.0
 * Group norm of operands in L1. Cores 0 .. 7 call together. Where there are fewer groups than cores, each
 * core takes a part of every group, with one barrier; else each takes its share of the groups.
 */
#ifndef ME_GROUP_NORM_H
#define ME_GROUP_NORM_H

#include "me_norm.h"
#include "me_scale.h"

/* positions, channels, inner   of a group: together up to 2**20 elements
 * bits     after the point of a normalised number, less `down`      centred   less the mean; else less x_zero
 * eps      in squares of x times the square of the length, shifted right by down twice:
 *          eps_high << 31 | eps_low */
typedef struct {
    int32_t positions, channels, inner, bits, centred, x_zero, shift, eps_low, eps_high, down;
    me_scale scale;
} me_group_norm_s8_params;

/* Sum of numbers, and of their squares. */
typedef struct {
    int64_t total, squares;
} me_group_moments;

/* x, y     int8 [rows][positions][groups][channels][inner]
 * pairs    of [groups][channels]
 * scratch  moments of [at most 8 groups][8 cores], aligned to 8 */
typedef struct {
    const int8_t *x;
    int8_t *y;
    const me_gain *pairs;
    me_group_moments *scratch;
    int32_t rows, groups;
} me_group_norm_s8_tile;

/* Group norm, instance norm, or a norm of long rows, int8 to int8: in each group normalised = (x - mean, or x_zero) /
 * sqrt(variance, or mean square, + eps), rounded to nearest,
 * y = clip((normalised * gain[c] + offset[c]) >> shift), then the table.
 * gain -8,191 to 8,191; shift 0 to 30; bits at most 12; eps at most 2^61; the sum stays inside int32. */
void me_group_norm_s8(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile);

#endif
