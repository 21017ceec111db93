/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_group_norm_s8.c, of n >= 1 numbers at equal distances. Two bodies:
 * me_group_rows.S for GAP9's cores, me_group_rows.c in C.
 */
#ifndef ME_GROUP_ROWS_H
#define ME_GROUP_ROWS_H

#include "me_norm_rows.h"

/* What the numbers of a channel have in common; step: bytes from one to the next, of x and of y. */
typedef struct {
    me_line line;
    int32_t gain, offset, shift, low, high, step;
} me_group_run;

/* The sum of n <= 2**16 numbers, and of their squares. */
void me_moments_apart(const int8_t *x, int32_t n, int32_t step, me_moments *of);

/* y = clip(((x * slope + start) >> line.shift) * gain + offset) >> shift, low, high) */
void me_normalise_run(const int8_t *x, int8_t *y, int32_t n, const me_group_run *run);

#endif
