/* SPDX-License-Identifier: Apache-2.0
 * Exponentials of rows of n >= 1 bytes x at any address. exp has 256 entries in Q15, indexed by the
 * distance from the row's largest value; exp[0] is 32,768, and no entry is larger. Implementations:
 * me_softmax_rows.S for GAP9's cores, me_softmax_rows.c in portable C.
 */
#ifndef ME_SOFTMAX_ROWS_H
#define ME_SOFTMAX_ROWS_H

#include <stdint.h>

/* -> the sum of exp[most - x] */
int32_t me_row_sum(const void *x, int32_t n, const uint16_t *exp, int32_t most);

/* y = min((((exp[most - x] * inverse) >> 15) + (1 << (shift - 1))) >> shift, 255) - 128; shift 8 to 31 */
void me_row_probabilities(const void *x, void *y, int32_t n, const uint16_t *exp, int32_t most,
                          int32_t inverse, int32_t shift);

#endif
