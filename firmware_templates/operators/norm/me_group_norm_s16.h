/* SPDX-License-Identifier: Apache-2.0
 * Group norm of numbers of 16 bits, of results of 16 bits, or of both; cores share as those of
 * me_group_norm_s8 do.
 */
#ifndef ME_GROUP_NORM_S16_H
#define ME_GROUP_NORM_S16_H

#include "me_group_norm.h"

/* x_wide, y_wide   x, y are int16, else int8; a table is for results of int8 alone
 * groups           of up to 2**16 elements where x is int16 */
typedef struct {
    me_group_norm_s8_params norm;
    int32_t x_wide, y_wide;
} me_group_norm_s16_params;

/* x and y of int16 or int8 */
typedef me_group_norm_s8_tile me_group_norm_s16_tile;

/* me_group_norm_s8 of int8 or int16 to int8 or int16, as x_wide and y_wide say, with the same formula and ranges;
 * groups of 1 to 65,536 elements where x is int16. */
void me_group_norm_s16(const me_group_norm_s16_params *op, const me_group_norm_s16_tile *tile);

#endif
