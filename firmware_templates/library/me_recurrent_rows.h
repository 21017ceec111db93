/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel behind me_recurrent.c. Two bodies: me_recurrent_rows.S for GAP9's cores,
 * me_recurrent_rows.c in C.
 */
#ifndef ME_RECURRENT_ROWS_H
#define ME_RECURRENT_ROWS_H

#include <stdint.h>

/* Adds to four sums the products of `words` words of x, at least one, with packed weights: for every
 * word of x four, one a sum. */
void me_four_sums(const int8_t *x, const int8_t *weights, int32_t words, int32_t *sum);

#endif
