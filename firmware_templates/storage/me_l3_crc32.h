/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_L3_CRC32_H
#define ME_L3_CRC32_H

#include <stdint.h>

/* CRC-32 of bytes in L3, starting at offset `first`, a multiple of 4. On the chip, the fabric
 * controller calls it, not during a run.
 *   l3   on a host, the content of l3.bin */
uint32_t me_l3_crc32(const void *l3, uint32_t first, uint32_t bytes);

#endif
