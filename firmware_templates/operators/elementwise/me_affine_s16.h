/* SPDX-License-Identifier: Apache-2.0
 * Factors per channel, operands in L1. Cores 0 .. 7 call the kernel together; each computes its share, and no
 * barrier is inside.
 */
#ifndef ME_AFFINE_S16_H
#define ME_AFFINE_S16_H

#include "me_scale.h"

/* x_wide, y_wide   x, y are int16, otherwise int8; a table is for results of int8 only
 * each    `channels` of them, and the channel of all numbers that are not below x_zero after them
 *         (prelu); an affine operator has x_zero = 32,768
 * bias and scale.pre are not read. */
typedef struct {
    int32_t channels, x_zero, x_wide, y_wide;
    const me_channel *each;
    me_scale scale;
} me_affine_s16_params;

/* x, y  [outer][channels][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_affine_s16_tile;

/* A factor and an offset for every channel c, int8 or int16 to int8 or int16:
 * y = clip((x * mult[c] + offset[c]) >> shift[c]), then the table.
 * mult int32 with a sign, as large as leaves the sum inside int32; shift 0 to 30; extents at least 1. */
void me_affine_s16(const me_affine_s16_params *op, const me_affine_s16_tile *tile);

#endif
