/* SPDX-License-Identifier: Apache-2.0 */
#include "me_l3_crc32.h"

#include "me_crc32.h"
#include "me_share.h"

#ifdef ME_GAP9
#define CHUNK_BYTES 512u

static ME_NOINIT _Alignas(8) uint8_t chunk[CHUNK_BYTES];

uint32_t me_l3_crc32(const void *l3, uint32_t first, uint32_t bytes)
{
    (void)l3;
    uint32_t crc = 0;
    for (uint32_t at = 0, part; at < bytes; at += part) {
        part = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        me_l3_fetch(first + at, chunk, part);
        crc = me_crc32(crc, chunk, part);
    }
    return crc;
}
#else
uint32_t me_l3_crc32(const void *l3, uint32_t first, uint32_t bytes)
{
    return me_crc32(0, (const uint8_t *)l3 + first, bytes);
}
#endif
