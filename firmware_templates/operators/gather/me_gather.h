/* SPDX-License-Identifier: Apache-2.0
 * Elements of an axis by computed indices. Cores 0 .. 7 call the kernel together; each computes its share, and
 * no barrier is inside.
 */
#ifndef ME_GATHER_H
#define ME_GATHER_H

#include <stdint.h>

/* Indices: -n .. -1 count from the end, all are limited to 0 .. n - 1.
 * bytes_per_id  4: int32, 1: uint8     itemsize  bytes of an element of x and y */
typedef struct {
    int32_t bytes_per_id, itemsize;
} me_gather_s8_params;

/* x [outer][n][inner], ids [sets][count][width], y [outer][count][inner]; sets is 1 or outer, width
 * 1 or inner */
typedef struct {
    const int8_t *x;
    const void *ids;
    int8_t *y;
    int32_t outer, n, inner, count, sets, width;
} me_gather_s8_tile;

/* y[o][k][i] = x[o][ids[o or 0][k][i or 0]][i], elements of any type as itemsize >= 1 bytes, ids int32 or uint8.
 * n at least 1; x and y at any address, y apart from x; faster where width is 1. */
void me_gather_s8(const me_gather_s8_params *op, const me_gather_s8_tile *tile);

#endif
