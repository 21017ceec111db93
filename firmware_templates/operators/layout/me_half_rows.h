/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel of me_transpose_s16.c. Implementations: me_half_rows.S for GAP9's cores,
 * me_half_rows.c in portable C.
 */
#ifndef ME_HALF_ROWS_H
#define ME_HALF_ROWS_H

#include <stdint.h>

/* copies n >= 1 halves, from_step and to_step bytes apart */
void me_move_halves(const int16_t *from, int16_t *to, int32_t n, int32_t from_step, int32_t to_step);

#endif
