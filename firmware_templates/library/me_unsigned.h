/* SPDX-License-Identifier: Apache-2.0
 * Converts int8 to uint8 by adding 128, because NE16 reads unsigned activations. Implementations:
 * me_unsigned.S for GAP9's cores, me_unsigned.c in portable C.
 */
#ifndef ME_UNSIGNED_H
#define ME_UNSIGNED_H

#include <stdint.h>

/* Converts words >= 0 words of four int8 values to uint8; any address, fastest if aligned. */
void me_unsigned_words(const int8_t *x, uint8_t *y, int32_t words);

/* XOR words that convert int8 or int16 to unsigned. */
#define ME_TO_UNSIGNED 0x80808080u
#define ME_HALVES_TO_UNSIGNED 0x80008000u

/* Copies `pieces` >= 1 pieces of `bytes` >= 1 bytes and XORs their words with `word`. Pieces start x_step
 * and y_step bytes apart. The two halves of `word` are equal; if `bytes` is odd, all its bytes are. x and
 * y must not overlap. */
void me_xor_pieces(const void *x, void *y, int32_t pieces, int32_t bytes, int32_t x_step, int32_t y_step,
                   uint32_t word);

#endif
