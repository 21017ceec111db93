/* SPDX-License-Identifier: Apache-2.0
 * Unpacks packed weights to bytes or halfwords. Implementations: me_unpack_words.S for GAP9's cores,
 * me_unpack_words.c in portable C.
 */
#ifndef ME_UNPACK_WORDS_H
#define ME_UNPACK_WORDS_H

#include <stdint.h>

/* Unpacks words >= 0 words of packed weights of `bits` bits to weights of `size` bytes; both addresses are
 * aligned to 4. bits: 2 or 4 of bytes, 4 or 8 of halfwords. Lane i of the n lanes (bytes or halfwords) of a
 * packed word holds weights i, i + n, .. of the weights of the word, the first in its lowest bits. */
void me_unpack_words(const int8_t *packed, int8_t *to, int32_t words, int32_t bits, int32_t size);

#endif
