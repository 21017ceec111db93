/* SPDX-License-Identifier: Apache-2.0
 * Group norm of operands in L1. Cores 0 .. 7 call the kernel together. If there are fewer groups than
 * cores, each core computes a part of every group, with one barrier; otherwise each core computes its share
 * of the groups.
 */
#ifndef ME_GROUP_NORM_H
#define ME_GROUP_NORM_H

#include "me_norm_rows.h"
#include "me_scale.h"

/* positions, channels, inner   extents of a group: their product is at most 2**20
 * fraction bits of a normalised value, minus `down`      centred   whether the mean is subtracted;
 *          otherwise x_zero is
 * eps      in units of x^2 times the square of the length, shifted right by 2 * down: eps_high << 31 |
 *          eps_low
 * x_wide, y_wide   of me_group_norm_s16: x, y are int16, otherwise int8; a table is for results of int8 only */
typedef struct {
    int32_t positions, channels, inner, bits, centred, x_zero, shift, eps_low, eps_high, down;
    me_scale scale;
    int32_t x_wide, y_wide;
} me_group_norm_params;

/* Sum of values, and of their squares. */
typedef struct {
    int64_t total, squares;
} me_group_moments;

/* x, y     [rows][positions][groups][channels][inner]
 * gain and offset [groups][channels]
 * scratch  partial moments of [at most 8 groups][8 cores], aligned to 8 */
typedef struct {
    const void *x;
    void *y;
    const me_gain *pairs;
    me_group_moments *scratch;
    int32_t rows, groups;
} me_group_norm_tile;

typedef me_group_norm_params me_group_norm_s8_params, me_group_norm_s16_params;
typedef me_group_norm_tile me_group_norm_s8_tile, me_group_norm_s16_tile;

/* Group norm, instance norm, or a norm of long rows, int8 to int8: in each group normalised = (x - mean, or x_zero) /
 * sqrt(variance, or mean square, + eps), rounded to nearest,
 * y = clip((normalised * gain[c] + offset[c]) >> shift), then the table.
 * gain -8,191 to 8,191; shift 0 to 30; bits at most 12; eps at most 2^61; the sum stays inside int32. */
void me_group_norm_s8(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile);

/* As me_group_norm_s8 for int8 or int16 to int8 or int16, as x_wide and y_wide specify; groups have 1 to
 * 65,536 elements if x is int16. */
void me_group_norm_s16(const me_group_norm_s16_params *op, const me_group_norm_s16_tile *tile);

#endif
