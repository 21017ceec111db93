/* SPDX-License-Identifier: Apache-2.0
 * Packed weights as bytes. Two bodies: me_unpack_words.S for GAP9's cores, me_unpack_words.c in C.
 */
#ifndef ME_UNPACK_WORDS_H
#define ME_UNPACK_WORDS_H

#include <stdint.h>

/* Unpacks words >= 0 words of packed weights; both addresses are aligned to 4. Byte i of a packed word
 * holds weights i, i + 4, .. of the 8 or 16 unpacked weights, the first in its lowest bits. */
void me_unpack_words_s4(const int8_t *packed, int8_t *to, int32_t words);
void me_unpack_words_s2(const int8_t *packed, int8_t *to, int32_t words);

#endif
