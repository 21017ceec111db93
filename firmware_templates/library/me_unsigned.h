/* SPDX-License-Identifier: Apache-2.0
 * int8 to uint8: every byte plus 128, as NE16 reads activations.
 * Two bodies: me_unsigned.S for GAP9's cores, me_unsigned.c in C.
 */
#ifndef ME_UNSIGNED_H
#define ME_UNSIGNED_H

#include <stdint.h>

/* words >= 0, of four bytes; at any address, best at aligned ones */
void me_unsigned_words(const int8_t *x, uint8_t *y, int32_t words);

/* XOR words that convert int8, or int16, to unsigned. */
#define ME_TO_UNSIGNED 0x80808080u
#define ME_HALVES_TO_UNSIGNED 0x80008000u

/* Copies `pieces` pieces of `bytes` bytes, x_step and y_step bytes from the start of one to that of the
 * next, words of it XORed with `word`, whose halves are equal; its bytes are too where `bytes` is odd. Both counts
 * >= 1; x and y apart. */
void me_xor_pieces(const void *x, void *y, int32_t pieces, int32_t bytes, int32_t x_step, int32_t y_step,
                   uint32_t word);

#endif
