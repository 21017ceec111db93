/* SPDX-License-Identifier: Apache-2.0
 * Layer norm and RMS norm of rows in L1, to results of 16 bits; cores share rows as those of me_norm_s8
 * do.
 */
#ifndef ME_NORM_S16_H
#define ME_NORM_S16_H

#include "me_norm.h"

typedef me_norm_s8_params me_norm_s16_params;

/* rows one behind the other, x and y aligned to 4 */
typedef struct {
    const void *x;
    int16_t *y;
    int32_t rows;
} me_norm_s16_tile;

/* Layer norm or RMS norm of rows of int8 or int16, y int16 [rows][length]. */
void me_norm_s16(const me_norm_s16_params *op, const me_norm_s16_tile *tile);

#endif
