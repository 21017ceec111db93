/* SPDX-License-Identifier: Apache-2.0
 * Mean and sum over an axis; operands in L1. Cores 0 .. 7 call together, each computes its share, and no
 * barrier is inside.
 */
#ifndef ME_REDUCE_S8_H
#define ME_REDUCE_S8_H

#include <stdint.h>

#include "me_scale.h"

typedef struct {
    int32_t reduced, x_zero;
    const me_channel *each;
    me_scale scale;
} me_reduce_s8_params;

/* x int8 [outer][reduced][inner], y int8 [outer][inner] */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t outer, inner;
} me_reduce_s8_tile;

/* Sum or mean over an axis, int8 [outer][reduced][inner] -> [outer][inner]: acc = sum of x - x_zero, in int32,
 * y = clip((((acc >> pre) * mult) + offset) >> shift), then the table. reduced at least 1; x_zero -128 to 127;
 * pre 0 to 20, mult 0 to 32,767, shift 0 to 30. Any address; faster where inner is 1 or a multiple of 4. */
void me_reduce_s8(const me_reduce_s8_params *op, const me_reduce_s8_tile *tile);

#endif
