/* SPDX-License-Identifier: Apache-2.0
 * The sum of two rows: what me_add_s8 and me_affine_s8 have in common.
 */
#ifndef ME_ADD_ROW_H
#define ME_ADD_ROW_H

#include <stdint.h>

/* A row kernel (me_broadcast.h) whose params are me_add_s8_params. */
void me_add_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n, int32_t a_step,
                int32_t b_step);

#endif
