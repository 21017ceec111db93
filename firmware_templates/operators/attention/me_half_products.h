/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel behind me_attention_s16.c. Two bodies: me_half_products.S for GAP9's cores,
 * me_half_products.c in C.
 */
#ifndef ME_HALF_PRODUCTS_H
#define ME_HALF_PRODUCTS_H

#include "me_attention_rows.h"

/* Rows of int16, two in a word; no sum leaves int32. */
void me_products_halves(const me_products *of);

#endif
