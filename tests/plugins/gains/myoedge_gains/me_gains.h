/* SPDX-License-Identifier: Apache-2.0
 * A tensor times a factor per channel, operands in L1. Each core computes its share of the rows.
 */
#ifndef ME_GAINS_H
#define ME_GAINS_H

#include "me_scale.h"

/* y = clip(requant((x - x_zero) * gain)), then the table */
typedef struct {
    int32_t x_zero, mult, offset, shift, channels;
    me_scale scale;
} me_gains_s8_params;

typedef struct {
    const int8_t *x, *gain;
    int8_t *y;
    int32_t rows;
} me_gains_s8_tile;

void me_gains_s8(const me_gains_s8_params *params, const me_gains_s8_tile *tile);

/* x_wide, y_wide  x, y are int16, else int8 */
typedef struct {
    int32_t x_wide, y_wide, x_zero, mult, offset, shift, channels;
    me_scale scale;
} me_gains_s16_params;

typedef struct {
    const void *x;
    const int16_t *gain;
    void *y;
    int32_t rows;
} me_gains_s16_tile;

/* The same with int8 or int16 x and y and int16 gains; the table is only for int8 results. */
void me_gains_s16(const me_gains_s16_params *params, const me_gains_s16_tile *tile);

#endif
