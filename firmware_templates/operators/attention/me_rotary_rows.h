/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_rotary_s8.c and me_rotary_halves_s8.c. Two bodies: me_rotary_rows.S for GAP9's cores,
 * me_rotary_rows.c in C.
 */
#ifndef ME_ROTARY_ROWS_H
#define ME_ROTARY_ROWS_H

#include "me_rotary.h"

/* A row of op->pairs pairs, neighbours or of both halves, at least 1; turns as in me_rotary_s8_tile. */
void me_rotary_row(const int8_t *x, int8_t *y, const int8_t *turns, const me_rotary_s8_params *op);
void me_rotary_halves_row(const int8_t *x, int8_t *y, const int8_t *turns, const me_rotary_s8_params *op);

#endif
