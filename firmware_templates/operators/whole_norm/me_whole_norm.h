/* SPDX-License-Identifier: Apache-2.0
 * Norms of rows of whole numbers in L1. Cores 0 .. 7 call together, each takes its part of the rows.
 */
#ifndef ME_WHOLE_NORM_H
#define ME_WHOLE_NORM_H

#include <stdint.h>

typedef struct {
    int32_t gain, offset;
} me_whole_gain;

/* length   up to 2**14     centred   less the mean
 * pairs    of every number of a row: 255 * |gain| + |offset| is below 2**31 */
typedef struct {
    int32_t length, centred, x_zero, shift;
    const me_whole_gain *pairs;
} me_whole_norm_s8_params;

/* x, y  int8 [rows][length] */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t rows;
} me_whole_norm_s8_tile;

/* y = (v * gain / floor(sqrt(mean of v * v + 1)) + offset) >> shift, v = x less x_zero and the mean; divisions
 * toward zero. Centred: the lower 8 bits of it; else saturated. */
void me_whole_norm_s8(const me_whole_norm_s8_params *op, const me_whole_norm_s8_tile *tile);

#endif
