/* SPDX-License-Identifier: Apache-2.0
 * Unpacks weights of few bits to the bytes or halfwords that kernels read. Runs before a kernel if the tile
 * has other weights than the tile before.
 */
#ifndef ME_UNPACK_H
#define ME_UNPACK_H

#include <stdint.h>

/* Unpacks words >= 0 words, packed as described in me_unpack_words.h, at addresses aligned to 4, without
 * overlap. Cores 0 .. 7 share the work. A barrier of all `cores` cores follows: 8, or 9 if the control
 * core calls the kernel too. */
void me_unpack(const int8_t *packed, int8_t *to, int32_t words, int32_t bits, int32_t size, int32_t cores);

#endif
