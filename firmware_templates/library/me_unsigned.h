/* SPDX-License-Identifier: Apache-2.0
 * int8 to uint8: every byte plus 128, as NE16 reads activations.
 * Two bodies: me_unsigned.S for GAP9's cores, me_unsigned.c in C.
 */
#ifndef ME_UNSIGNED_H
#define ME_UNSIGNED_H

#include <stdint.h>

/* words >= 0, of four bytes; at any address, best at aligned ones */
void me_unsigned_words(const int8_t *x, uint8_t *y, int32_t words);

#endif
