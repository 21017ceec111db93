/* SPDX-License-Identifier: Apache-2.0
 * Index of the largest number of rows of 16 bits in L1. Cores 0 .. 7 call the kernel together, each takes its
 * part of the rows, and no barrier is inside.
 */
#ifndef ME_ARGMAX_S16_H
#define ME_ARGMAX_S16_H

#include <stdint.h>

typedef struct {
    int32_t length;
} me_argmax_s16_params;

/* x int16 [outer][length][inner]     y int32 [outer][inner] */
typedef struct {
    const int16_t *x;
    int32_t *y;
    int32_t outer, inner;
} me_argmax_s16_tile;

/* Index of the maximum of each row of int16, of equal numbers the first, as int32; length at least 1. */
void me_argmax_s16(const me_argmax_s16_params *op, const me_argmax_s16_tile *tile);

#endif
