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

/* Sum or mean over an axis of int8: acc = sum of x - x_zero, in int32, requantised by *each. */
void me_reduce_s8(const me_reduce_s8_params *op, const me_reduce_s8_tile *tile);

#endif
