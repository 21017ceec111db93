/* SPDX-License-Identifier: Apache-2.0
 * Elements of an axis by computed indices.
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

void me_gather_s8(const me_gather_s8_params *op, const me_gather_s8_tile *tile);

#endif
