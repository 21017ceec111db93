/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_CRC32_H
#define ME_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC-32 of IEEE 802.3, as in zlib. crc: the CRC of the preceding bytes, 0 if there are none. */
uint32_t me_crc32(uint32_t crc, const void *bytes, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
