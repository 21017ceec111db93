/* SPDX-License-Identifier: Apache-2.0 */
#include "me_weights.h"

#include <stdbool.h>

#include "me_crc32.h"
#include "me_share.h"

#define MAGIC 0x3157454Du /* "MEW1": version 1 */
#define CHUNK_BYTES 2048u

/* crc    CRC-32 of the image      head_crc   CRC-32 of the preceding words */
typedef struct {
    uint32_t magic, bytes, crc, unused[12], head_crc;
} head;
_Static_assert(sizeof(head) == ME_WEIGHTS_HEAD_BYTES, "as the image's offset");
#define CHECKED_BYTES (ME_WEIGHTS_HEAD_BYTES - 4u)

static ME_NOINIT _Alignas(8) uint8_t chunk[CHUNK_BYTES];

static int32_t failed(int32_t status) { return status == ME_DAMAGED ? ME_DAMAGED : ME_UNREADABLE; }

static int32_t read_head(const me_flash *flash, uint32_t at, head *found)
{
    const int32_t status = flash->read(at, found, sizeof *found);
    if (status < 0)
        return failed(status);
    const bool is_head = found->magic == MAGIC && found->head_crc == me_crc32(0, found, CHECKED_BYTES);
    return is_head ? ME_OK : ME_WRONG_VERSION;
}

static int32_t compare(const me_flash *flash, uint32_t at, uint32_t bytes, uint32_t wanted)
{
    uint32_t crc = 0;
    for (uint32_t done = 0, part; done < bytes; done += part) {
        part = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
        const int32_t status = flash->read(at + ME_WEIGHTS_HEAD_BYTES + done, chunk, part);
        if (status < 0)
            return failed(status);
        crc = me_crc32(crc, chunk, part);
    }
    return crc == wanted ? ME_OK : ME_DAMAGED;
}

int32_t me_weights_find(const me_flash *flash, uint32_t at, uint32_t bytes, uint32_t crc)
{
    head found;
    const int32_t status = read_head(flash, at, &found);
    if (status != ME_OK)
        return status;
    if (found.bytes != bytes)
        return ME_WRONG_SIZE;
    return found.crc == crc ? compare(flash, at, bytes, crc) : ME_WRONG_LAYOUT;
}

int32_t me_weights_erase(const me_flash *flash, uint32_t at, uint32_t bytes)
{
    for (uint32_t done = 0; done < ME_WEIGHTS_HEAD_BYTES + bytes; done += flash->block_bytes)
        if (flash->erase(at + done) < 0)
            return ME_FAILED;
    return ME_OK;
}

int32_t me_weights_commit(const me_flash *flash, uint32_t at, uint32_t bytes, uint32_t crc)
{
    head last = { .magic = MAGIC, .bytes = bytes, .crc = crc };
    last.head_crc = me_crc32(0, &last, CHECKED_BYTES);
    if (flash->program(at, &last, sizeof last) < 0)
        return ME_FAILED;
    return me_weights_find(flash, at, bytes, crc);
}
